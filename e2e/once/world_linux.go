package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/e2e/loopback"
	"github.com/eastway/eastway/e2e/verdict"
)

// world is the processes and the relays between them.
type world struct {
	o      *options
	files  layout
	out    io.Writer
	fleet  *loopback.Fleet
	all    [clusters]*loopback.Cluster
	relays [clusters][perCluster]*relay

	mu      sync.Mutex
	outages []verdict.Outage
	shut    [perCluster]chan struct{} // entries that callers wait for; nil: open
}

func newWorld(ctx context.Context, o *options, out io.Writer) (*world, error) {
	w := &world{o: o, files: layout{o.dir}, out: out}
	if err := os.MkdirAll(filepath.Dir(w.files.executions("x")), 0o700); err != nil {
		return nil, err
	}
	var err error
	if w.fleet, err = loopback.NewFleet(ctx, o.dir); err != nil {
		return nil, err
	}
	for c := range clusters {
		w.all[c] = &loopback.Cluster{Name: clusterName(c)}
		for n := range perCluster {
			p := &loopback.Proxy{
				Name: proxyName(c, n), Region: clusterName(c), Zone: clusterName(c),
				Admin: netip.AddrPortFrom(at(c, hostProxy, n), portAdmin).String(),
				Flags: []string{"--drain-delay", "300ms", "--drain-timeout", "15s"},
			}
			if c != home {
				p.Listen = netip.AddrPortFrom(at(c, hostProxy, n), portTunnel).String()
				w.all[c].Addresses = append(w.all[c].Addresses, netip.AddrPortFrom(at(c, hostRelay, n), portTunnel).String())
			}
			if o.accessLog {
				p.AccessLog = w.files.access(p.Name)
			}
			w.all[c].Proxies = append(w.all[c].Proxies, p)
		}
	}
	return w, nil
}

// close ends everything that runs.
func (w *world) close() {
	w.fleet.Close()
	for c := range clusters {
		for _, r := range w.relays[c] {
			if r != nil {
				r.close()
			}
		}
	}
}

// up returns when home's proxies can call both services at both peers.
func (w *world) up(ctx context.Context) error {
	if err := w.configure(ctx); err != nil {
		return err
	}
	for c := range clusters {
		for n := range perCluster {
			if err := w.upOne(ctx, c, n); err != nil {
				return err
			}
		}
	}
	var ready errgroup.Group
	for c := range clusters {
		for n := range perCluster {
			ready.Go(func() error { return w.awaitProxy(ctx, c, n) })
		}
	}
	return errors.Join(ready.Wait(), w.awaitPeers(ctx, east), w.awaitPeers(ctx, west))
}

func (w *world) upOne(ctx context.Context, c, n int) (err error) {
	if c != home {
		from, to := netip.AddrPortFrom(at(c, hostRelay, n), portTunnel), netip.AddrPortFrom(at(c, hostProxy, n), portTunnel)
		if w.relays[c][n], err = newRelay(from, to); err != nil {
			return err
		}
	}
	if err := w.startApp(ctx, c, n); err != nil {
		return err
	}
	return w.startProxy(ctx, c, n)
}

// configure does what an operator does: certificates, peers, manifests.
func (w *world) configure(ctx context.Context) error {
	for _, c := range w.all {
		if err := w.fleet.Found(ctx, c); err != nil {
			return err
		}
	}
	for _, peer := range []int{east, west} {
		if err := errors.Join(w.fleet.Trust(ctx, w.all[home], w.all[peer]), w.fleet.Trust(ctx, w.all[peer], w.all[home])); err != nil {
			return err
		}
	}
	draw := rand.New(rand.NewPCG(w.o.seed, 0))
	for c := range clusters {
		if err := errors.Join(w.writeServices(c, []int{0, 1}), w.writePolicies(c, policies(draw))); err != nil {
			return err
		}
	}
	return nil
}

// writeServices makes these applications the endpoints of a cluster.
func (w *world) writeServices(c int, apps []int) error {
	for n := range perCluster {
		data, err := servicesOf(c, n, apps)
		if err != nil {
			return err
		}
		if err := w.fleet.Write(w.all[c].Proxies[n], "services.yaml", data); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) writePolicies(c int, data []byte) error {
	for n := range perCluster {
		if err := w.fleet.Write(w.all[c].Proxies[n], "policies.yaml", data); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) startApp(ctx context.Context, c, n int) error {
	name := appName(c, n)
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%v %s", appVariable, netip.AddrPortFrom(at(c, hostApp, n), portHTTP1), w.files.executions(name)))
	return w.fleet.Run(name, cmd)
}

func (w *world) startProxy(ctx context.Context, c, n int) error {
	return w.fleet.Start(ctx, w.all[c], w.all[c].Proxies[n])
}

// awaitProxy returns when the proxy is ready.
func (w *world) awaitProxy(ctx context.Context, c, n int) error {
	return w.fleet.AwaitReady(ctx, w.all[c].Proxies[n])
}

// awaitPeers returns when both of home's proxies have a link to each proxy of the peer, and no service is ejected there.
func (w *world) awaitPeers(ctx context.Context, peer int) error {
	return loopback.AwaitLinked(ctx, w.all[home], w.all[peer], loopback.Service{Namespace: namespace, Name: far})
}

func (w *world) proxy(c, n int) *loopback.Process { return w.fleet.Process(proxyName(c, n)) }

func (w *world) app(c, n int) *loopback.Process { return w.fleet.Process(appName(c, n)) }

// setMode orders an application to behave so.
func (w *world) setMode(c, n int, mode string) error {
	_, err := io.WriteString(w.app(c, n).Input, mode+"\n")
	return err
}

// shutEntry makes callers of a proxy of home wait, as a node agent does that leads them elsewhere; openEntry ends that.
func (w *world) shutEntry(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut[n] = make(chan struct{})
}

func (w *world) openEntry(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.shut[n])
	w.shut[n] = nil
}

func (w *world) awaitEntry(ctx context.Context, n int) {
	w.mu.Lock()
	open := w.shut[n]
	w.mu.Unlock()
	if open == nil {
		return
	}
	select {
	case <-open:
	case <-ctx.Done():
	}
}

// entryKilled begins an outage of a proxy of home, which up ends.
func (w *world) entryKilled(n int) (up func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := len(w.outages)
	w.outages = append(w.outages, verdict.Outage{Entry: n, From: time.Now(), To: time.Now().Add(time.Hour)})
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.outages[i].To = time.Now()
	}
}

func (w *world) killed() []verdict.Outage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outages
}

// executions counts by request.
func (w *world) executions(requests int) ([]uint8, error) {
	counts := make([]uint8, requests)
	files, err := filepath.Glob(w.files.executions("*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if len(data)%4 != 0 {
			return nil, fmt.Errorf("%s is %d bytes long: not whole records", file, len(data))
		}
		for ; len(data) > 0; data = data[4:] {
			id := binary.LittleEndian.Uint32(data)
			if int64(id) >= int64(requests) {
				return nil, fmt.Errorf("%s has request %d, which was never sent", file, id)
			}
			counts[id] = min(counts[id], 254) + 1
		}
	}
	return counts, nil
}
