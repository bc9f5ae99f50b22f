//go:build !linux

package asm

func fire(stop chan struct{}) { <-stop }
