package netns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/internal/need"
)

// childVariable makes the test program a process that owns a namespace until
// its input ends.
const childVariable = "EASTWAY_TEST_OWN_NAMESPACE"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if err := own(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func own() error {
	ns, err := Create("child")
	if err != nil {
		return err
	}
	fmt.Println(ns.Name())
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, ns.Close())
}

// inode tells namespaces apart.
func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Ino
}

func TestCreate(t *testing.T) {
	need.Root(t)
	ns, err := Create("create")
	if err != nil {
		t.Fatal(err)
	}
	outside := inode(t, current)
	var inside uint64
	var listener net.Listener
	boom := errors.New("boom")
	err = ns.Do(func() error {
		inside = inode(t, current)
		links, err := netlink.LinkList()
		if err != nil || len(links) != 1 || links[0].Attrs().Flags&net.FlagUp == 0 {
			t.Errorf("devices %v (%v), want the loopback device alone, and up", links, err)
		}
		if listener, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			t.Error(err)
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("Do returned %v, not the function's error", err)
	}
	if inside == outside || inside != inode(t, ns.Path()) {
		t.Errorf("namespace %d outside, %d inside, %d by path", outside, inside, inode(t, ns.Path()))
	}
	if now := inode(t, current); now != outside {
		t.Errorf("after Do the thread is in namespace %d, before in %d", now, outside)
	}
	if _, err := net.Dial("tcp4", listener.Addr().String()); err == nil {
		t.Error("reached a listener inside from outside")
	}
	listener.Close()

	if _, err := Create("create"); err == nil {
		t.Error("a second namespace of the same name")
	}
	opened, err := Open(ns.Name())
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(ns.Path()); err != nil {
		t.Errorf("closing what was opened removed it: %v", err)
	}
	if err := ns.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(ns.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("closing what was created did not remove it: %v", err)
	}
	if _, err := Open(ns.Name()); err == nil {
		t.Error("opened a namespace that is gone")
	}
}

func TestOpenOwn(t *testing.T) {
	t.Parallel()
	ns, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Close(); err != nil {
		t.Error(err)
	}
}

// A namespace goes with its owner: by itself, or swept after a kill -9.
func TestSweep(t *testing.T) {
	need.Root(t)
	mine, err := Create("sweep")
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	for name, kill := range map[string]bool{"ended": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			owner := exec.CommandContext(t.Context(), os.Args[0])
			owner.Env = append(os.Environ(), childVariable+"=1")
			owner.Stderr = os.Stderr
			in, err := owner.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := owner.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := owner.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, strings.TrimSpace(line))
			if _, err := Sweep(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("its owner lives, and it is gone: %v", err)
			}
			if kill {
				owner.Process.Kill()
				// Not yet waited for, it is a zombie: as dead as any.
				waitZombie(t, owner.Process.Pid)
				if _, err := Sweep(); err != nil {
					t.Error(err)
				}
			}
			in.Close()
			if err := owner.Wait(); err != nil && !kill {
				t.Error(err)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("its owner is gone, and it is not: %v", err)
			}
		})
	}
	if _, err := os.Stat(mine.Path()); err != nil {
		t.Errorf("swept a namespace of this process: %v", err)
	}
}

// waitZombie returns when a child has ended, and leaves it to be waited for.
func waitZombie(t *testing.T, pid int) {
	t.Helper()
	err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func TestOwnerOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]owner{
		"eastway-wan-4242.777-a":     {4242, "777"},
		"eastway-wan-4242.777-a-b.c": {4242, "777"},
		"eastway-wan-4242":           {},
		"eastway-wan-4242-a":         {},
		"eastway-wan-0.1-a":          {},
		"eastway-wan--1.1-a":         {},
		"eastway-wan-x.1-a":          {},
		"other-4242.777-a":           {},
		"":                           {},
	} {
		if got, ok := ownerOf(name); ok != (want != owner{}) || ok && got != want {
			t.Errorf("%q: %+v, %t; want %+v", name, got, ok, want)
		}
	}
	own, err := ownName("label")
	if err != nil {
		t.Fatal(err)
	}
	o, ok := ownerOf(own)
	if alive, err := o.alive(); !ok || !alive || err != nil {
		t.Errorf("%s: owner %+v, alive %t (%v)", own, o, alive, err)
	}
	o.start += "1" // another process that had this number
	if alive, err := o.alive(); alive || err != nil {
		t.Errorf("an earlier process with this number: alive %t (%v)", alive, err)
	}
	for _, label := range []string{"", "a/b", "..", "a b", strings.Repeat("a", 65)} {
		if name, err := ownName(label); err == nil {
			t.Errorf("label %q gives the name %q", label, name)
		}
	}
}

func FuzzOwnerOf(f *testing.F) {
	f.Add("eastway-wan-4242.777-a")
	f.Add("eastway-wan--")
	f.Fuzz(func(t *testing.T, name string) {
		if o, ok := ownerOf(name); ok && (o.pid <= 0 || !strings.HasPrefix(name, Prefix)) {
			t.Errorf("%q is owned by %+v", name, o)
		}
	})
}
