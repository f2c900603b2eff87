package takeover

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/eastway/eastway/internal/pace"
)

// Report is a proxy's response at /listeners. It is immutable.
type Report struct {
	Ready bool
	// Listeners are the services (NAMESPACE/NAME) by the port on which the proxy really listens for them.
	Listeners map[uint16]string

	etag string
	sum  [sha256.Size]byte // of the body that it was read from
	rest time.Time         // until then only /readyz is requested
}

func (r *Report) equal(o *Report) bool {
	return r.Ready == o.Ready && maps.Equal(r.Listeners, o.Listeners)
}

// misleads reports whether calls that follow the previous report fail or reach another service: a port was reassigned, or a proxy
// that shuts down has closed it.
func (r *Report) misleads(before *Report) bool {
	for port, service := range before.Listeners {
		if now, open := r.Listeners[port]; open && now != service || !open && !r.Ready {
			return true
		}
	}
	return false
}

// ParseReport parses a proxy's response at /listeners.
func ParseReport(body []byte) (*Report, error) {
	var answer struct {
		Ready     bool `json:"ready"`
		Listeners []struct {
			Port    uint16 `json:"port"`
			Service string `json:"service"`
		} `json:"listeners"`
	}
	if len(body) > maxReportBytes {
		return nil, fmt.Errorf("%d bytes, more than %d", len(body), maxReportBytes)
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	if len(answer.Listeners) > maxListeners {
		return nil, fmt.Errorf("%d listeners, more than %d", len(answer.Listeners), maxListeners)
	}
	r := &Report{Ready: answer.Ready, Listeners: make(map[uint16]string, len(answer.Listeners)), sum: sha256.Sum256(body)}
	for _, l := range answer.Listeners {
		if l.Port == 0 || l.Service == "" {
			return nil, errors.New("a listener without port or service")
		}
		r.Listeners[l.Port] = l.Service
	}
	return r, nil
}

// Credentials prove to proxies what this agent is, and to this agent what they are.
type Credentials struct {
	// TLS is for dialing the proxies of the own cluster only.
	TLS *tls.Config
	// Missing is nil while there is a certificate, and may change.
	Missing func() error
}

var errNoCredentials = errors.New("this agent has no certificate: none was configured (--svid)")

// missing is why this agent cannot prove itself.
func (c *Credentials) missing() error {
	if c == nil {
		return errNoCredentials
	}
	return c.Missing()
}

// httpProber probes proxies over HTTP.
type httpProber struct {
	client      *http.Client
	credentials *Credentials
}

// newHTTPProber makes a prober; dial and credentials may be nil.
func newHTTPProber(dial func(ctx context.Context, network, address string) (net.Conn, error), c *Credentials) *httpProber {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	var config *tls.Config
	if c != nil {
		config = c.TLS
	}
	return &httpProber{credentials: c, client: &http.Client{
		Transport: &http.Transport{
			DialContext:            dial,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    2 * probeTimeout, // of one that its probe has given up
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        2 * farInterval,
			MaxResponseHeaderBytes: 16 << 10,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// get sends one request to a proxy. etag is that of the response that the caller has; "": none.
func (h *httpProber) get(ctx context.Context, p *Proxy, path, etag string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base(p)+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "eastway-node")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := h.client.Do(req)
	if alert, ok := errors.AsType[*net.OpError](err); ok && alert.Op == "remote error" {
		err = fmt.Errorf("%w: the proxy does not accept this agent's certificate, and its log says why", err)
	}
	return resp, err
}

// base is where a proxy is probed: at its listener for node agents, if it has one and this agent can prove itself. A proxy of the release
// before has none, and the first certificate may come later than this agent: then at the health listener, which may tell less.
func (h *httpProber) base(p *Proxy) string {
	if p.Agents != 0 && h.credentials.missing() == nil {
		return "https://" + netip.AddrPortFrom(p.Address, p.Agents).String()
	}
	return "http://" + netip.AddrPortFrom(p.Address, p.Health).String()
}

// notListed is why a proxy has answered 404.
func (h *httpProber) notListed(p *Proxy) error {
	const only = "status 404: proxies list their services only to node agents that prove themselves"
	switch missing := h.credentials.missing(); {
	case missing != nil:
		return &answerError{"/listeners", only + ", and " + missing.Error()}
	case p.Agents == 0:
		return &answerError{"/listeners", only + ", and the proxies' Service has no port " + agentsPortName + " for this one: upgrade the chart"}
	default:
		return &answerError{"/listeners", "status 404"}
	}
}

// ready requests /readyz.
func (h *httpProber) ready(ctx context.Context, p *Proxy) (bool, error) {
	resp, err := h.get(ctx, p, "/readyz", "")
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxReadyBytes)); err != nil {
		return false, err
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusServiceUnavailable:
		return resp.StatusCode == http.StatusOK, nil
	default:
		return false, &answerError{"/readyz", "status " + strconv.Itoa(resp.StatusCode)}
	}
}

// probe probes one proxy; ctx bounds it. The proxy answers 304 to the ETag of last, which may be nil, if nothing changed.
func (h *httpProber) probe(ctx context.Context, p *Proxy, last *Report) (*Report, error) {
	if last != nil && last.Ready && time.Now().Before(last.rest) {
		ready, err := h.ready(ctx, p)
		if err != nil {
			return nil, err
		}
		if ready == last.Ready {
			return last, nil
		}
	}
	etag := ""
	if last != nil {
		etag = last.etag
	}
	resp, err := h.get(ctx, p, "/listeners", etag)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified && last != nil {
		return last, nil
	}
	if resp.StatusCode == http.StatusNotFound {
		return nil, h.notListed(p)
	}
	return readReport(resp, last)
}

// readReport reads the response of /listeners. It returns last if that has the same content.
func readReport(resp *http.Response, last *Report) (*Report, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, &answerError{"/listeners", "status " + strconv.Itoa(resp.StatusCode)}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReportBytes+1))
	if err != nil {
		return nil, err
	}
	if last != nil && last.etag == resp.Header.Get("ETag") {
		if sum := sha256.Sum256(body); bytes.Equal(sum[:], last.sum[:]) {
			return last, nil
		}
	}
	began := time.Now()
	report, err := ParseReport(body)
	if err != nil {
		return nil, &answerError{"/listeners", err.Error()}
	}
	report.etag = resp.Header.Get("ETag")
	ended := time.Now()
	report.rest = ended.Add(pace.Rest(ended.Sub(began), workShare, maxRest))
	return report, nil
}

func (h *httpProber) close() { h.client.CloseIdleConnections() }

// answerError is a response that does not make sense: another program listens there, or another version.
type answerError struct{ path, what string }

func (e *answerError) Error() string { return "answer of " + e.path + ": " + e.what }

// Results of probes, as the metric names them.
const (
	resultOK      = "ok"
	resultTimeout = "timeout"
	resultInvalid = "invalid"
	resultError   = "error"
	resultPaused  = "paused"
)

// isLocal is true for errors of the agent's own machine, which show nothing of the proxy.
func isLocal(err error) bool {
	for _, local := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, local) {
			return true
		}
	}
	return false
}

// resultOf classifies the error of a probe that took so long, during which the agent was kept from running for late.
func resultOf(err error, took, late time.Duration) string {
	_, invalid := errors.AsType[*answerError](err)
	switch {
	case err == nil:
		return resultOK
	case invalid:
		return resultInvalid
	case errors.Is(err, context.DeadlineExceeded) && (took > probeTimeout+pauseSlack || late > lateSlack), isLocal(err):
		return resultPaused
	case errors.Is(err, context.DeadlineExceeded):
		return resultTimeout
	default:
		return resultError
	}
}
