//go:build !linux

package demo

import "syscall"

// childAttributes: a process group of its own. Only Linux ends children with their parent.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
