//go:build !linux

package transport

import (
	"net"
	"syscall"
	"time"
)

type tcpInfo struct {
	rtt, lastAck                 time.Duration
	sent, retransmitted, unacked uint64
}

// Elsewhere than on Linux lanes run with the system's own settings.
func setLaneOptions(_, _ string, _ syscall.RawConn) error { return nil }
func setOptions(_, _ string, _ syscall.RawConn) error     { return nil }
func congestionControl(*net.TCPConn) string               { return "default" }
func readTCPInfo(*net.TCPConn) (tcpInfo, bool)            { return tcpInfo{}, false }
