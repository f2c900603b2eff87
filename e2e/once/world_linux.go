package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/status"
)

// world is the processes and the relays between them.
type world struct {
	o       *options
	files   layout
	out     io.Writer
	eastway string // the binary
	spawn   spawner
	relays  [clusters][perCluster]*relay

	mu      sync.Mutex
	proxies [clusters][perCluster]*process
	apps    [clusters][perCluster]*process
	outages []outage
	shut    [perCluster]chan struct{} // entries that callers wait for; nil: open
}

func newWorld(o *options, out io.Writer) (*world, error) {
	w := &world{o: o, files: layout{o.dir}, out: out, eastway: filepath.Join(o.dir, "eastway"), spawn: newSpawner()}
	dirs := []string{filepath.Dir(w.files.log("x")), filepath.Dir(w.files.executions("x"))}
	for c := range clusters {
		for n := range perCluster {
			dirs = append(dirs, w.configOf(c, n), w.stateOf(c, n))
		}
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			close(w.spawn)
			return nil, err
		}
	}
	return w, nil
}

func (w *world) configOf(c, n int) string {
	return filepath.Join(w.files.config(c), w.files.proxy(c, n))
}

func (w *world) stateOf(c, n int) string {
	return filepath.Join(w.files.root, "state", w.files.proxy(c, n))
}

// close ends everything that runs.
func (w *world) close() {
	for c := range clusters {
		for n := range perCluster {
			for _, p := range []*process{w.proxies[c][n], w.apps[c][n]} {
				if p != nil {
					_ = p.end(syscall.SIGKILL)
				}
			}
			if r := w.relays[c][n]; r != nil {
				r.close()
			}
		}
	}
	close(w.spawn)
}

// up returns when home's proxies can call both services at both peers.
func (w *world) up(ctx context.Context) error {
	if _, err := w.spawn.command(ctx, "go", "build", "-o", w.eastway, "github.com/eastway/eastway/cmd/eastway"); err != nil {
		return err
	}
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
	for c := range clusters {
		if _, err := w.spawn.command(ctx, w.eastway, "certs", "init", "--dir", w.files.ca(c), "--cluster", clusterName(c)); err != nil {
			return err
		}
		args := []string{"peer", "export", "--cluster", clusterName(c), "--ca", w.files.ca(c)}
		for n := range perCluster {
			if c != home {
				args = append(args, "--address", netip.AddrPortFrom(at(c, hostRelay, n), portTunnel).String())
			}
		}
		manifest, err := w.spawn.command(ctx, w.eastway, args...)
		if err != nil {
			return err
		}
		if err := os.WriteFile(w.files.peer(c), []byte(manifest), 0o600); err != nil {
			return err
		}
	}
	draw := rand.New(rand.NewPCG(w.o.seed, 0))
	for c := range clusters {
		for n := range perCluster {
			for peer := range clusters {
				if peer == c || (peer != home && c != home) {
					continue
				}
				if _, err := w.spawn.command(ctx, w.eastway, "peer", "import", w.files.peer(peer), "--config", w.configOf(c, n)); err != nil {
					return err
				}
			}
		}
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
		if err := replace(filepath.Join(w.configOf(c, n), "services.yaml"), data); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) writePolicies(c int, data []byte) error {
	for n := range perCluster {
		if err := replace(filepath.Join(w.configOf(c, n), "policies.yaml"), data); err != nil {
			return err
		}
	}
	return nil
}

// replace writes a file whole, as an editor does.
func replace(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (w *world) startApp(ctx context.Context, c, n int) error {
	name := w.files.app(c, n)
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%v %s", appVariable, netip.AddrPortFrom(at(c, hostApp, n), portHTTP1), w.files.executions(name)))
	p, err := w.spawn.begin(name, w.files.log(name), cmd)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apps[c][n] = p
	return nil
}

func (w *world) startProxy(ctx context.Context, c, n int) error {
	name := w.files.proxy(c, n)
	listen, access := "", ""
	if c != home {
		listen = netip.AddrPortFrom(at(c, hostProxy, n), portTunnel).String()
	}
	if w.o.accessLog {
		access = w.files.access(name)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), w.eastway, "proxy", "--cluster", clusterName(c), "--region", clusterName(c),
		"--zone", clusterName(c), "--config", w.configOf(c, n), "--ca", w.files.ca(c), "--state", w.stateOf(c, n), "--listen", listen,
		"--admin", w.adminOf(c, n), "--access-log", access, "--drain-delay", "300ms", "--drain-timeout", "15s")
	p, err := w.spawn.begin(name, w.files.log(name), cmd)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.proxies[c][n] = p
	return nil
}

func (w *world) adminOf(c, n int) string {
	return netip.AddrPortFrom(at(c, hostProxy, n), portAdmin).String()
}

// awaitProxy returns when the proxy is ready.
func (w *world) awaitProxy(ctx context.Context, c, n int) error {
	return await(ctx, w.files.proxy(c, n)+" is ready", func(ctx context.Context) error {
		if err := w.proxy(c, n).alive(); err != nil {
			return err
		}
		return get(ctx, "http://"+w.adminOf(c, n)+admin.PathReadyz)
	})
}

// get is nil when the answer is 200.
func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return errors.Join(err, answer.Body.Close())
}

// awaitPeers returns when both of home's proxies have a link to each proxy of the peer, and no service is ejected there.
func (w *world) awaitPeers(ctx context.Context, peer int) error {
	for n := range perCluster {
		client, err := admin.NewClient(w.adminOf(home, n))
		if err != nil {
			return err
		}
		err = await(ctx, fmt.Sprintf("%s sees all of %s", w.files.proxy(home, n), clusterName(peer)), func(ctx context.Context) error {
			return sees(ctx, client, clusterName(peer))
		})
		client.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func sees(ctx context.Context, client *admin.Client, peer string) error {
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	links := 0
	for i := range s.Peers {
		if p := &s.Peers[i]; p.Peer == peer {
			for j := range p.Links {
				if p.Links[j].State == status.Connected {
					links++
				}
			}
		}
	}
	if links < perCluster {
		return fmt.Errorf("%d links of %d", links, perCluster)
	}
	answer, err := client.Endpoints(ctx, namespace, far)
	if err != nil {
		return err
	}
	for i := range answer.Endpoints {
		if e := &answer.Endpoints[i]; e.Cluster == peer && e.Status != status.Healthy {
			return fmt.Errorf("%s at %s is %s", far, e.Address, e.Status)
		}
	}
	return nil
}

func (w *world) proxy(c, n int) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.proxies[c][n]
}

func (w *world) app(c, n int) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.apps[c][n]
}

// setMode orders an application to behave so.
func (w *world) setMode(c, n int, mode string) error {
	_, err := io.WriteString(w.app(c, n).input, mode+"\n")
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
	w.outages = append(w.outages, outage{entry: n, from: time.Now(), to: time.Now().Add(time.Hour)})
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.outages[i].to = time.Now()
	}
}

func (w *world) killed() []outage {
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
