package chain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/eastway/eastway/internal/openloop"
)

// Client calls a service with a fresh connection for each request, and never
// sends a request twice: net/http repeats by itself only what it sent on a
// connection that was used before. The zero value is ready to use.
type Client struct {
	Dialer Dialer

	once sync.Once
	http *http.Client
}

// Do sends one request and reads the whole answer; everything but 200 is an
// error, which names the connection's own address, as the proxies log it.
func (c *Client) Do(ctx context.Context, method, target, id string) (string, error) {
	c.once.Do(func() {
		c.http = &http.Client{
			Timeout: RequestTimeout,
			Transport: &http.Transport{
				DialContext: c.Dialer.DialContext, DisableKeepAlives: true, DisableCompression: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	})
	local := "-"
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { local = info.Conn.LocalAddr().String() },
	})
	answer, err := openloop.Exchange(traced, c.http, method, target, id, "order "+id)
	if err != nil {
		return "", fmt.Errorf("call %s from %s: %w", target, local, err)
	}
	return answer, nil
}

// Dialer keeps the addresses of names, and goes on using one, however old, while it
// asks for it again, as CoreDNS does with serve_stale. So what fails, or waits, is not
// the cluster's DNS. The zero value is ready to use.
type Dialer struct {
	// Hosts is a file with a line "HOST:PORT IP:PORT" for each that neither DNS nor a kube-proxy leads to: outside
	// Kubernetes. It is read for each connection; empty: none.
	Hosts string

	// resolve is net.DefaultResolver's if it is nil.
	resolve func(ctx context.Context, network, host string) ([]net.IP, error)

	asking singleflight.Group // by name
	mu     sync.Mutex
	known  map[string]known
}

type known struct {
	ip    net.IP
	until time.Time
}

// DialContext connects to a TCP address with a name or an IP.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	address, err := d.find(address)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) == nil {
		ip, err := d.lookup(ctx, host)
		if err != nil {
			return nil, err
		}
		host = ip.String()
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, net.JoinHostPort(host, port))
}

// find an address in the file.
func (d *Dialer) find(address string) (string, error) {
	if d.Hosts == "" {
		return address, nil
	}
	text, err := os.ReadFile(d.Hosts)
	if err != nil {
		return "", fmt.Errorf("look up %s: %w", address, err)
	}
	for line := range strings.Lines(string(text)) {
		if name, found, _ := strings.Cut(strings.TrimSpace(line), " "); name == address {
			return found, nil
		}
	}
	return address, nil
}

// lookup waits for an answer only if there has never been one.
func (d *Dialer) lookup(ctx context.Context, host string) (net.IP, error) {
	d.mu.Lock()
	was, found := d.known[host]
	d.mu.Unlock()
	if found && time.Now().Before(was.until) {
		return was.ip, nil
	}
	answer := d.asking.DoChan(host, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), RequestTimeout)
		defer cancel()
		return nil, d.ask(ctx, host)
	})
	if found {
		return was.ip, nil
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("look up %s: %w", host, ctx.Err())
	case result := <-answer:
		if result.Err != nil {
			return nil, result.Err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known[host].ip, nil
}

// ask for the address of a name; what was known stays if there is no answer.
func (d *Dialer) ask(ctx context.Context, host string) error {
	resolve := d.resolve
	if resolve == nil {
		resolve = net.DefaultResolver.LookupIP
	}
	ips, err := resolve(ctx, "ip", host)
	d.mu.Lock()
	defer d.mu.Unlock()
	is, found := d.known[host]
	switch {
	case err == nil && len(ips) > 0:
		is.ip = ips[0]
	case !found:
		return errors.Join(err, fmt.Errorf("%s has no address", host))
	}
	if d.known == nil {
		d.known = make(map[string]known)
	}
	is.until = time.Now().Add(nameTime)
	d.known[host] = is
	return nil
}
