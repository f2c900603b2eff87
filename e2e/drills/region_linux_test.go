package drills

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/internal/journal"
	"github.com/eastway/eastway/internal/openloop"
)

const (
	// globalName leads to the entries of both regions: addresses at which their proxies have httpbin.
	globalName = "shop.lb.example.com."
	globalPort = 8000
	// dnsHost of a zone's addresses is where its region's name server is.
	dnsHost = 62
	dnsPort = 5353
	// regionRate of each kind of client, per second, each call on a connection of its own.
	regionRate = 33
	// regionCalls in a row of each kind show that it is so from now on.
	regionCalls = 150
)

// Kinds of clients.
const (
	entersThere  = "enters at the surviving region"
	resolves     = "resolves the name, and calls the first address"
	triesInTurn  = "resolves the name, and tries addresses in turn"
	lookupWait   = time.Second
	regionsTTL   = 5 * time.Second
	callWait     = 10 * time.Second
	deadRegion   = "region lost"
	regionsToday = "527 of 3,899 requests failed (13.5 %), the slowest took 1.08 s"
)

// regionLost is drill D3: all that one region has is killed at once, its name server included.
func regionLost(s stage, t *testing.T) {
	f, ok := s.(*files)
	if !ok {
		t.Fatal("in file mode only")
	}
	home, away := f.clusters[0], f.clusters[1]
	deployHTTPBin(s, t)
	r := &region{files: f, T: t, drill: deadRegion}
	r.must(s.settle(t.Context()))
	for _, c := range s.sites() {
		r.must(awaitAnswers(t.Context(), s, c, fmt.Sprintf("http://httpbin:%d/", globalPort)))
	}
	for _, c := range f.clusters {
		r.must(r.startDNS(c))
	}
	stub := &stub{servers: []string{r.dnsAddress(away), r.dnsAddress(home)}}
	r.await("both name servers answer with both regions", func() error {
		for _, server := range stub.servers {
			found, _, err := ask(t.Context(), server)
			if err != nil || len(found) != len(r.entries(home))+len(r.entries(away)) {
				return fmt.Errorf("%s: %v, %w", server, found, errors.Join(err, errors.New("not all")))
			}
		}
		return nil
	})

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for kind, addresses := range map[string]func(context.Context) ([]netip.Addr, error){
		entersThere: func(context.Context) ([]netip.Addr, error) { return r.entries(home), nil },
		resolves: func(ctx context.Context) ([]netip.Addr, error) {
			all, err := stub.lookup(ctx)
			return all[:min(1, len(all))], err
		},
		triesInTurn: stub.lookup,
	} {
		running.Go(func() {
			openloop.Run(ctx, openloop.Load{Rate: regionRate}, func(ctx context.Context, n int) { r.call(ctx, kind, n, addresses) })
		})
	}
	all := func(kinds ...string) func([]record) bool {
		return func(records []record) bool { return lastOfKinds(regionCalls, kinds, records) }
	}
	r.phase("healthy")
	r.awaitCalls("every kind of client is answered", all(entersThere, resolves, triesInTurn))

	r.phase(deadRegion)
	killed := time.Now()
	r.phases[1].fault = killed
	r.phases[1].effect = func(one *record) bool { return one.ok() && one.Target == resolves && !one.Start.Before(killed) }
	r.must(r.kill(away))
	r.awaitCalls("every kind of client is answered again", all(entersThere, resolves, triesInTurn))
	stop()
	running.Wait()

	next := stub.without(r.entries(away), killed)
	r.report(killed, next)
}

// region is the drill while it runs.
type region struct {
	*files
	*testing.T
	drill  string
	rec    journal.Journal[record]
	phases []phase
}

func (r *region) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *region) phase(name string) {
	r.phases = append(r.phases, phase{name: name, begun: time.Now()})
	fmt.Fprintf(progress(r.T), "== %s %s: %s\n", r.drill, r.where(), name)
}

func (r *region) await(what string, done func() error) {
	r.Helper()
	r.must(lab.Await(r.Context(), what, patience, func(context.Context) error { return done() }))
}

// awaitCalls that begin from now on.
func (r *region) awaitCalls(what string, condition func([]record) bool) {
	r.Helper()
	from := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if err := r.rec.Await(ctx, func(one *record) bool { return !one.Start.Before(from) }, condition); err != nil {
		r.Errorf("it did not happen that %s: %v", what, err)
	}
}

// entries of a region: where its proxies have httpbin.
func (r *region) entries(c *fileCluster) []netip.Addr {
	var all []netip.Addr
	for _, zone := range c.Zones {
		all = append(all, r.vip(c, zone, "httpbin"))
	}
	return all
}

func (r *region) dnsAddress(c *fileCluster) string {
	return netip.AddrPortFrom(c.address(c.Zones[0], dnsHost), dnsPort).String()
}

func (r *region) dnsName(c *fileCluster) string { return "dns-" + c.site.Name }

// startDNS runs a region's name server.
func (r *region) startDNS(c *fileCluster) error {
	var text strings.Builder
	fmt.Fprint(&text, `apiVersion: eastway.dev/v1alpha1
kind: DNSZone
metadata: {name: lb.example.com}
spec:
  nameServers:
`)
	for i, one := range r.clusters {
		fmt.Fprintf(&text, "  - {name: ns%d.lb.example.com, addresses: [%v]}\n", i+1, one.address(one.Zones[0], dnsHost))
	}
	fmt.Fprintf(&text, `---
apiVersion: eastway.dev/v1alpha1
kind: GlobalName
metadata: {name: %s}
spec:
  ttl: %v
  services: [%s/httpbin]
  probe: {scheme: http, port: %d, path: /}
  entries:
`, strings.TrimSuffix(globalName, "."), regionsTTL, namespace, globalPort)
	for _, one := range r.clusters {
		fmt.Fprintf(&text, "  - {cluster: %s, region: %s, addresses: %s}\n", one.site.Name, one.Region,
			strings.ReplaceAll(fmt.Sprint(r.entries(one)), " ", ", "))
	}
	dir := filepath.Join(r.fleet.Dir, r.dnsName(c))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "dns.yaml"), []byte(text.String()), 0o600); err != nil {
		return err
	}
	listen := netip.MustParseAddrPort(r.dnsAddress(c))
	return r.fleet.Run(r.dnsName(c), exec.CommandContext(context.WithoutCancel(r.Context()), r.fleet.Program("eastway"), "dns",
		"--config", dir, "--listen", listen.String(), "--admin", fmt.Sprintf("%v:15053", listen.Addr()), "--proxy", c.Proxies[0].Admin,
		"--rate", "0", "--allow-loopback"))
}

// kill all processes of a cluster at once.
func (r *region) kill(c *fileCluster) error {
	names := []string{r.dnsName(c)}
	for _, p := range c.Proxies {
		names = append(names, p.Name)
	}
	for _, w := range c.workloads {
		for _, p := range w.pods {
			names = append(names, p.name)
		}
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, r.fleet.Process(name).Signal(syscall.SIGKILL))
	}
	return errors.Join(errs...)
}

// call one of the addresses, on a connection of its own, or one after the other.
func (r *region) call(ctx context.Context, kind string, n int, where func(context.Context) ([]netip.Addr, error)) {
	ctx, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	one := load.Record{Kind: load.KindCall, ID: fmt.Sprintf("%d-%d", len(kind), n), Target: kind, Method: http.MethodGet, Start: time.Now()}
	addresses, err := where(ctx)
	if err == nil && len(addresses) == 0 {
		err = errors.New("the name has no address")
	}
	for _, address := range addresses {
		if one.Answer, err = get(ctx, address, one.ID); err == nil {
			break
		}
	}
	if err != nil {
		one.Error = err.Error()
	}
	one.End = time.Now()
	r.rec.Add(newRecord(r.clusters[0].Zones[0], one))
}

func get(ctx context.Context, address netip.Addr, id string) (string, error) {
	to := netip.AddrPortFrom(address, globalPort).String()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, to)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	return openloop.Exchange(ctx, client, http.MethodGet, "http://"+strings.TrimSuffix(globalName, ".")+"/", id, "")
}

// lastOfKinds: the last calls of each kind of client were all answered.
func lastOfKinds(n int, kinds []string, records []record) bool {
	for _, kind := range kinds {
		good := 0
		for i := range slices.Backward(records) {
			if one := &records[i]; one.Target == kind {
				if !one.ok() {
					return false
				}
				good++
			}
			if good == n {
				break
			}
		}
		if good < n {
			return false
		}
	}
	return true
}

// report what became of the calls. Between the death and the next answer those fail that call the first address they have been given.
func (r *region) report(killed, next time.Time) {
	r.Helper()
	e := evidence{
		drill: r.drill, where: r.where(), phases: r.phases, end: time.Now(), records: r.rec.All(), watched: "httpbin", today: regionsToday,
		excuse: func(one *record) string {
			if one.Target == resolves && one.End.After(killed) && one.Start.Before(next) {
				return "it has the dead address until it asks again"
			}
			return ""
		},
		notes: []string{fmt.Sprintf("the resolver had an answer without the dead region %v after the death, with a TTL of %v",
			next.Sub(killed).Round(time.Millisecond), regionsTTL)},
	}
	for _, kind := range []string{entersThere, resolves, triesInTurn} {
		sent, failed := 0, 0
		for i := range e.records {
			if one := &e.records[i]; one.Target == kind {
				sent++
				if !one.ok() {
					failed++
				}
			}
		}
		e.notes = append(e.notes, fmt.Sprintf("%s: %d of %d failed", kind, failed, sent))
	}
	made := e.report()
	fmt.Fprintln(progress(r.T), &made)
	if err := made.write(r.folder()); err != nil {
		r.Error(err)
	}
	if len(made.Failure) > 0 {
		r.Errorf("%d calls failed\n%s", len(made.Failure), &made)
	}
}

// stub is a resolver that caches, as those of clients do: it asks one name server after the other, and keeps an answer for its TTL.
type stub struct {
	servers []string

	mu      sync.Mutex
	cached  []netip.Addr
	until   time.Time
	answers []dnsAnswer
}

// dnsAnswer is one that the stub got.
type dnsAnswer struct {
	at        time.Time
	addresses []netip.Addr
}

func (s *stub) lookup(ctx context.Context) ([]netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock() // callers that come at the same time wait for one answer
	if time.Now().After(s.until) {
		var errs []error
		for _, server := range s.servers {
			found, ttl, err := ask(ctx, server)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			s.cached, s.until = found, time.Now().Add(ttl)
			s.answers = append(s.answers, dnsAnswer{time.Now(), found})
			break
		}
		if len(errs) == len(s.servers) {
			return nil, errors.Join(errs...)
		}
	}
	all := slices.Clone(s.cached)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all, nil
}

// without is when the stub first had an answer without these addresses, after some time.
func (s *stub) without(dead []netip.Addr, after time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.answers {
		if a.at.After(after) && !slices.ContainsFunc(a.addresses, func(one netip.Addr) bool { return slices.Contains(dead, one) }) {
			return a.at
		}
	}
	return time.Now()
}

// ask a name server.
func ask(ctx context.Context, server string) (found []netip.Addr, ttl time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupWait)
	defer cancel()
	answer, _, err := new(dns.Client).ExchangeContext(ctx, new(dns.Msg).SetQuestion(globalName, dns.TypeA), server)
	if err != nil {
		return nil, 0, err
	}
	if answer.Rcode != dns.RcodeSuccess || len(answer.Answer) == 0 {
		return nil, 0, fmt.Errorf("%s answers %s with %d records", server, dns.RcodeToString[answer.Rcode], len(answer.Answer))
	}
	for _, one := range answer.Answer {
		if a, ok := one.(*dns.A); ok {
			ip, _ := netip.AddrFromSlice(a.A.To4())
			found = append(found, ip)
			ttl = time.Duration(a.Hdr.Ttl) * time.Second
		}
	}
	return found, ttl, nil
}
