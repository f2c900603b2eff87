package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// traces are what a lab has on the computer beside its folder.
type traces struct {
	name       string
	device     string
	namespaces map[string]string // by what /proc calls them: whose
	cgroups    []string
}

// remember the traces of a lab that is up.
func remember(t *testing.T, l *Lab) traces {
	t.Helper()
	r := traces{name: l.state.Config.Name, device: l.state.Plan.device(), namespaces: make(map[string]string)}
	machines, err := machine.Find(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		for _, kind := range []string{"mnt", "pid"} { // all processes of a machine are in both
			path := fmt.Sprintf("/proc/%d/ns/%s", m.PID(), kind)
			// Held open, so that the kernel gives its number to no other one.
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { file.Close() })
			namespace, err := os.Readlink(path)
			if err != nil {
				t.Fatal(err)
			}
			r.namespaces[namespace] = m.Name()
		}
	}
	for _, found := range glob(t, l.dir+"/*/lib/containerd/io.containerd.grpc.v1.cri/*/*") {
		id := filepath.Base(found)
		r.cgroups = append(r.cgroups, append(glob(t, "/sys/fs/cgroup/k8s.io/"+id), glob(t, "/sys/fs/cgroup/*/k8s.io/"+id)...)...)
	}
	return r
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// checkGone looks for each of them.
func (r traces) checkGone(t *testing.T) {
	t.Helper()
	for _, link := range append(glob(t, "/proc/[0-9]*/ns/*"), glob(t, "/proc/[0-9]*/task/*/ns/*")...) {
		namespace, err := os.Readlink(link)
		if owner := r.namespaces[namespace]; err == nil && owner != "" {
			process := "/proc/" + strings.Split(link, "/")[2]
			// A dead one of a starter that was killed waits to be buried by the computer's first process.
			if status, err := os.ReadFile(filepath.Join(process, "status")); err == nil && !strings.Contains(string(status), "State:\tZ") {
				t.Errorf("%s is in a namespace of %s:\n%s", process, owner, status)
			}
		}
	}
	if _, err := netlink.LinkByName(r.device); !errors.As(err, &netlink.LinkNotFoundError{}) {
		t.Errorf("the device %s is left: %v", r.device, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), labDir(r.name)+"/") {
		t.Errorf("mounts are left (%v):\n%s", err, mounts)
	}
	for _, cgroup := range r.cgroups {
		if _, err := os.Stat(cgroup); err == nil {
			t.Errorf("the cgroup %s is left", cgroup)
		}
	}
	if names, err := Names(); err != nil || slices.Contains(names, r.name) {
		t.Errorf("the folder of %s is left: %v, %v", r.name, names, err)
	}
	machines, err := machine.Find(labDir(r.name))
	if err != nil || len(machines) > 0 {
		t.Errorf("%d machines are left, %v", len(machines), err)
	}
}
