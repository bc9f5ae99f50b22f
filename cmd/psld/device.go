package main

import (
	"flag"
	"fmt"

	"psld/internal/memstat"
	"psld/tensor"
	"psld/tensor/devices"
)

// deviceFlag defines --device.
func deviceFlag(fs *flag.FlagSet) *string {
	return fs.String("device", "cpu", "`device` that computes: cpu, vulkan or cuda, with :1 behind it for the second "+
		"one of its kind; psld info lists those of this machine")
}

// openDevice is the device of --device for the precision of --dtype.
func openDevice(name, precision string) (tensor.Device, error) {
	dev, err := devices.Open(name, precision)
	switch _, nameErr := devices.Open(name, ""); {
	case err == nil:
		return dev, nil
	case nameErr != nil:
		return nil, fmt.Errorf("--device: %w", nameErr)
	}
	return nil, fmt.Errorf("--dtype: %w", err)
}

// printDevices lists the devices of this machine with their memory.
func printDevices(line func(name, format string, args ...any)) {
	for _, d := range devices.All {
		line("precision", "%s: %s", d.Name, d.About)
	}
	for _, b := range devices.Backends {
		list, err := b.List()
		if err != nil {
			line("device", "%s: %s (%v)", b.Name, b.About, err)
		}
		for i, d := range list {
			name := b.Name
			if i > 0 {
				name = fmt.Sprintf("%s:%d", b.Name, i)
			}
			text := fmt.Sprintf("%s: %s", name, d.About)
			if d.Name != b.Name {
				text = fmt.Sprintf("%s: %s, %s", name, d.Name, d.About)
			}
			if d.Memory > 0 {
				text += ", " + memstat.Words(d.Memory)
			}
			if d.Free > 0 {
				text += fmt.Sprintf(", %s available", memstat.Words(d.Free))
			}
			if d.Err != nil {
				text += fmt.Sprintf(" (%v)", d.Err)
			}
			line("device", "%s", text)
		}
	}
}
