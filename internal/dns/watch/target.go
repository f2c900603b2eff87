package watch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/internal/dns/config"
	"github.com/eastway/eastway/internal/shortage"
)

// target is an address and how it is probed; GlobalNames that have the same share its probes.
type target struct {
	addr  netip.Addr
	probe config.Probe
}

// pause is how long after a result the next probe begins; failures are those in a row.
func (t *target) pause(failures int) time.Duration {
	if failures > 0 && failures < t.probe.UnhealthyThreshold {
		return t.probe.Interval.Duration / confirmParts
	}
	return t.probe.Interval.Duration
}

// run makes one probe. The error is why the address does not serve, in a few words.
func (t *target) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.probe.Timeout.Duration)
	defer cancel()
	var err error
	if t.probe.Scheme == "tcp" {
		var c net.Conn
		if c, err = t.dial(ctx); err == nil {
			err = c.Close()
		}
	} else {
		err = t.request(ctx)
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer from port %d within %v", t.probe.Port, t.probe.Timeout.Duration)
	}
	return err
}

// errLocal is an error of this host, which says nothing of the address.
var errLocal = errors.New("it cannot be probed from here")

func (t *target) dial(ctx context.Context) (net.Conn, error) {
	to := netip.AddrPortFrom(t.addr, uint16(t.probe.Port))
	c, err := new(net.Dialer).DialContext(ctx, "tcp", to.String())
	if local(err, func() bool { return hasRoute(ctx, to) }) {
		return nil, fmt.Errorf("%w: %w", errLocal, err)
	}
	return c, err
}

// local is true for an error of a dial that this host itself is to blame for.
func local(err error, hasRoute func() bool) bool {
	return shortage.Of(err) != "" || shortage.NoRoute(err) && !hasRoute()
}

// hasRoute is false if this host cannot send there. Nothing is sent. A router's word that it has no route is another matter.
func hasRoute(ctx context.Context, to netip.AddrPort) bool {
	c, err := new(net.Dialer).DialContext(ctx, "udp", to.String())
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// request passes for a status of 200 to 399, on a connection of its own: one that was kept does not show that new ones are accepted.
func (t *target) request(ctx context.Context) error {
	roots := (*x509.CertPool)(nil)
	if t.probe.CABundle != "" {
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(t.probe.CABundle))
	}
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return t.dial(ctx) },
		TLSClientConfig:   &tls.Config{ServerName: t.probe.Host, RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, MaxResponseHeaderBytes: maxProbeHeader,
	}
	defer transport.CloseIdleConnections()
	url := t.probe.Scheme + "://" + net.JoinHostPort(t.probe.Host, fmt.Sprint(t.probe.Port)) + t.probe.Path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	req.Host = t.probe.Host
	req.Header.Set("User-Agent", "eastway-dns-probe")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("status %d of %s", resp.StatusCode, t.probe.Path)
	}
	return nil
}

// reason is an error as it is shown.
func reason(err error) string {
	if err == nil {
		return ""
	}
	text := strings.ToValidUTF8(err.Error(), "?")
	return clip.Text(text, maxReason)
}
