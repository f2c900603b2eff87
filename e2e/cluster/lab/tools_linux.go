package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// tool is a program that a lab takes from the computer.
type tool struct{ program, debian string }

func tools() []tool {
	return []tool{
		{"etcd", "etcd-server"},
		{"containerd", "containerd"},
		{"ctr", "containerd"},
		{"runc", "runc"},
		{"nft", "nftables"},
		{"iptables", "iptables"}, // containers' host ports, and kube-proxy in that mode
		{"conntrack", "conntrack"},
		{"ip", "iproute2"},
		{"nsenter", "util-linux"},
		{"socat", "socat"}, // kubectl port-forward
		{"ethtool", "ethtool"},
		{"busybox", "busybox-static"},
	}
}

// cniFolders are where distributions put the plugins for pods' networks.
func cniFolders() []string {
	return []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}
}

// cniFolder has all plugins that nodes use.
func cniFolder() (string, error) {
	for _, folder := range cniFolders() {
		if !slices.ContainsFunc([]string{"ptp", "portmap", "host-local", "loopback"}, func(plugin string) bool {
			_, err := os.Stat(filepath.Join(folder, plugin))
			return err != nil
		}) {
			return folder, nil
		}
	}
	return "", fmt.Errorf("lab: none of %s has the CNI plugins ptp, portmap, host-local and loopback: apt-get install containernetworking-plugins",
		strings.Join(cniFolders(), ", "))
}

// raiseLimits of the computer that a lab would reach.
func raiseLimits(progress io.Writer) error {
	const path = "/proc/sys/fs/inotify/max_user_instances"
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("lab: read a limit: %w", err)
	}
	now, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("lab: read the limit %s: %w", path, err)
	}
	if now >= inotifyInstances {
		return nil
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(inotifyInstances)), 0); err != nil {
		// It may do all the same.
		fmt.Fprintf(progress, "could not raise the limit of inotify instances from %d to %d: %v\n", now, inotifyInstances, err)
		return nil
	}
	fmt.Fprintf(progress, "raised the limit of inotify instances (fs.inotify.max_user_instances) from %d to %d\n", now, inotifyInstances)
	return nil
}

// Supported says what this computer lacks to run a lab and what to do, nil if nothing.
func Supported() error {
	if os.Geteuid() != 0 {
		return errors.New("lab: clusters of namespaces need root: run it with sudo")
	}
	var programs, packages []string
	for _, t := range tools() {
		if _, err := exec.LookPath(t.program); err != nil {
			programs = append(programs, t.program)
			if !slices.Contains(packages, t.debian) {
				packages = append(packages, t.debian)
			}
		}
	}
	if _, err := cniFolder(); err != nil {
		programs = append(programs, "CNI plugins")
		packages = append(packages, "containernetworking-plugins")
	}
	if len(programs) == 0 {
		return nil
	}
	return fmt.Errorf("lab: missing: %s; on Debian: apt-get install --no-install-recommends %s",
		strings.Join(programs, ", "), strings.Join(packages, " "))
}
