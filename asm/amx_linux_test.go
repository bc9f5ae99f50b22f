package asm

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// fire makes garbage, collects it and sends signals to this process until stop is closed.
func fire(stop chan struct{}) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	defer signal.Stop(c)
	var keep []byte
	for i := 0; ; i++ {
		select {
		case <-stop:
			runtime.KeepAlive(keep)
			return
		default:
		}
		keep = make([]byte, 1<<16)
		if i%64 == 0 {
			runtime.GC()
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGURG)
		_ = syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	}
}
