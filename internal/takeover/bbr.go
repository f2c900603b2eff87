package takeover

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Files below /proc/sys.
const (
	allowedFile   = "net/ipv4/tcp_allowed_congestion_control"
	availableFile = "net/ipv4/tcp_available_congestion_control"
)

// AllowBBR lets processes without privileges, as the proxies are, choose the congestion control bbr for their sockets. It
// changes no default, and takes nothing away. proc is where the host's /proc is mounted writable.
func AllowBBR(proc string) error {
	const bbr = "bbr"
	allowed := filepath.Join(proc, "sys", allowedFile)
	names, err := fields(allowed)
	if err != nil {
		return fmt.Errorf("read the allowed congestion controls: %w: mount the host's /proc/sys/net, writable", err)
	}
	if slices.Contains(names, bbr) {
		return nil
	}
	loadBBR()
	available, err := fields(filepath.Join(proc, "sys", availableFile))
	if err != nil {
		return fmt.Errorf("read the available congestion controls: %w", err)
	}
	if !slices.Contains(available, bbr) {
		return fmt.Errorf("this node's kernel has no bbr (it has %s): load the module tcp_bbr", strings.Join(available, ", "))
	}
	if err := os.WriteFile(allowed, []byte(strings.Join(append(names, bbr), " ")), 0); err != nil { // the file is there
		return fmt.Errorf("allow bbr: %w: mount the host's /proc/sys/net writable", err)
	}
	return nil
}

func fields(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(data)), nil
}
