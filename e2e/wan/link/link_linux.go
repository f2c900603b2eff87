package link

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Direction is one of a link's two.
type Direction int

// The directions.
const (
	AtoB Direction = iota
	BtoA
)

// String is "a-b" or "b-a".
func (d Direction) String() string {
	if d == AtoB {
		return "a-b"
	}
	return "b-a"
}

// End is one end of a link.
type End struct {
	// Namespace is a name in /run/netns, a path such as /proc/PID/ns/net, or
	// empty for the network namespace of this process.
	Namespace string
	// Device is the name of the TUN device there; empty: DefaultDevice.
	Device string
	// Addresses of the device.
	Addresses []netip.Prefix
	// Routes are the networks to be reached through the link from this end,
	// apart from those that Addresses imply.
	Routes []netip.Prefix
}

// Config is a link.
type Config struct {
	A, B End
	// AtoB and BtoA are the settings to begin with.
	AtoB, BtoA Settings
	// MTU in bytes, MinMTU … MaxMTU; 0: DefaultMTU.
	MTU int
	// Seed of chance: two links with the same one lose the same packets, counted
	// from the first that enters. Each direction has its own sequence.
	Seed uint64
}

func (c Config) withDefaults() Config {
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.A.Device == "" {
		c.A.Device = DefaultDevice
	}
	if c.B.Device == "" {
		c.B.Device = DefaultDevice
	}
	return c
}

// Validate names the field that is wrong.
func (c Config) Validate() error {
	c = c.withDefaults()
	if c.MTU < MinMTU || c.MTU > MaxMTU {
		return fmt.Errorf("link: Config.MTU is %d, must be from %d to %d", c.MTU, MinMTU, MaxMTU)
	}
	for _, end := range []struct {
		name string
		End
	}{{"A", c.A}, {"B", c.B}} {
		if len(end.Device) >= unix.IFNAMSIZ {
			return fmt.Errorf("link: Config.%s.Device is %q, longer than the kernel's %d characters", end.name, end.Device, unix.IFNAMSIZ-1)
		}
		for _, prefix := range end.Addresses {
			if !prefix.IsValid() {
				return fmt.Errorf("link: Config.%s.Addresses has an invalid prefix", end.name)
			}
		}
		for _, prefix := range end.Routes {
			if !prefix.IsValid() {
				return fmt.Errorf("link: Config.%s.Routes has an invalid prefix", end.name)
			}
		}
	}
	if err := c.AtoB.Validate(); err != nil {
		return fmt.Errorf("link: Config.AtoB: %w", err)
	}
	if err := c.BtoA.Validate(); err != nil {
		return fmt.Errorf("link: Config.BtoA: %w", err)
	}
	return nil
}

// Link joins two network namespaces. Its methods may be called at any time
// between Open and Close, from any goroutine.
type Link struct {
	devices [2]*device
	pumps   [2]*pump
	close   func() error
}

// Supported says what this process lacks to open links, nil if nothing.
func Supported() error {
	if os.Geteuid() != 0 {
		return errors.New("link: network namespaces and TUN devices need root: run it with sudo")
	}
	file, err := os.OpenFile(tunPath, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("link: TUN devices are needed (modprobe tun; in a container pass --device=%s): %w", tunPath, err)
	}
	return file.Close()
}

// Open makes the devices at both ends, and returns when their addresses can be
// reached. They carry nothing before Run.
func Open(c Config) (*Link, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	l := &Link{}
	l.close = sync.OnceValue(l.closeAll)
	if err := l.open(c); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Link) open(c Config) (err error) {
	for i, end := range []End{c.A, c.B} {
		if l.devices[i], err = openDevice(end, c.MTU); err != nil {
			return err
		}
	}
	for d, settings := range []Settings{AtoB: c.AtoB, BtoA: c.BtoA} {
		seed := c.Seed<<1 | uint64(d)
		if l.pumps[d], err = newPump(l.devices[d], l.devices[1-d], settings, c.MTU, seed); err != nil {
			return err
		}
	}
	return nil
}

// Run carries packets until ctx is done, and then returns nil. It may be
// called once.
func (l *Link) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range l.pumps {
		group.Go(p.run)
		group.Go(func() error {
			<-ctx.Done()
			return p.stop()
		})
	}
	return group.Wait()
}

// Set changes the settings of one direction. When it returns they hold, also
// for packets that are on the way; those already behind the bottleneck keep
// their jitter.
func (l *Link) Set(d Direction, s Settings) error {
	if err := s.Validate(); err != nil {
		return err
	}
	return l.pumps[d].set(s)
}

// Settings of one direction as they are now.
func (l *Link) Settings(d Direction) Settings { return l.pumps[d].settings() }

// Counters of one direction as they are now.
func (l *Link) Counters(d Direction) Counters { return l.pumps[d].counters() }

// Missed is how many packets of one direction the kernel dropped before they
// could enter, since this process was not scheduled for too long. When it is
// not 0 the machine is too slow for what is measured on it.
func (l *Link) Missed(d Direction) (uint64, error) { return l.devices[d].missed() }

// Close removes the devices. It is to be called when Run has returned, and may
// be called again.
func (l *Link) Close() error { return l.close() }

func (l *Link) closeAll() error {
	var errs []error
	for _, p := range l.pumps {
		if p != nil {
			errs = append(errs, p.close())
		}
	}
	for _, d := range l.devices {
		errs = append(errs, d.close())
	}
	return errors.Join(errs...)
}
