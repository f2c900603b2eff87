package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/eastway/eastway/internal/operand"
)

const (
	// clientTimeout bounds one exchange; the server answers from memory.
	clientTimeout = 5 * time.Second
	// maxAnswer is some 30,000 services or endpoints, in bytes.
	maxAnswer = 16 << 20
	// maxProblem is how much of another program's error page is shown, in bytes.
	maxProblem = 200
)

// Client queries a proxy's admin listener. Close frees its connections.
type Client struct {
	base string
	http *http.Client
}

// NewClient takes HOST:PORT or http://HOST:PORT; "" is DefaultAddress.
func NewClient(address string) (*Client, error) {
	if address == "" {
		address = DefaultAddress
	}
	hostport := strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/")
	host, _, err := operand.SplitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("admin address %q is not HOST:PORT: %w", address, err)
	}
	if host == "" || strings.ContainsAny(hostport, "/?#@") {
		return nil, fmt.Errorf("admin address %q is not HOST:PORT", address)
	}
	// No proxy from the environment: the listener is usually this machine's own.
	return newClient("http://"+hostport, &http.Transport{}), nil
}

// NewClientOver queries the listener through the connections that dial makes, such as those forwarded to a pod.
func NewClientOver(dial func(context.Context) (net.Conn, error)) *Client {
	return newClient("http://"+DefaultAddress, &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	})
}

func newClient(base string, transport http.RoundTripper) *Client {
	return &Client{
		base: base,
		http: &http.Client{
			Timeout:       clientTimeout,
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns everything that `eastway status` shows.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var status Status
	err := c.get(ctx, PathStatus, nil, &status)
	return status, err
}

// Endpoints returns the endpoints of one service; ErrNoService if there is none.
func (c *Client) Endpoints(ctx context.Context, namespace, name string) (ServiceEndpoints, error) {
	var endpoints ServiceEndpoints
	err := c.get(ctx, PathEndpoints, url.Values{"service": {namespace + "/" + name}}, &endpoints)
	if errors.Is(err, ErrNoService) {
		return endpoints, fmt.Errorf("%w: %s/%s", ErrNoService, namespace, name)
	}
	return endpoints, err
}

// Get queries one of the paths in Config.More.
func (c *Client) Get(ctx context.Context, path string, query url.Values, into any) error {
	return c.get(ctx, path, query, into)
}

// Send is a request with a method other than GET to one of the paths in Config.More. Only programs send JSON: a browser would first ask.
func (c *Client) Send(ctx context.Context, method, path string, content, into any) error {
	body, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("admin request to %s: %w", c.base, err)
	}
	return c.send(ctx, method, path, nil, bytes.NewReader(body), into)
}

func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	return c.send(ctx, http.MethodGet, path, query, http.NoBody, into)
}

func (c *Client) send(ctx context.Context, method, path string, query url.Values, content io.Reader, into any) error {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return fmt.Errorf("admin request to %s: %w", c.base, err)
	}
	if method != http.MethodGet && method != http.MethodHead {
		req.Header.Set("Content-Type", JSON)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("query the admin listener at %s: %w", c.base, ctx.Err())
		}
		return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.base, innermost(err))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	err = errors.Join(err, resp.Body.Close())
	switch {
	case err != nil:
		return fmt.Errorf("%w at %s: the answer broke off: %w", ErrUnreachable, c.base, innermost(err))
	case len(body) > maxAnswer:
		return fmt.Errorf("answer of %s%s is longer than %d bytes", c.base, path, maxAnswer)
	case resp.StatusCode != http.StatusOK:
		return c.refusal(path, resp.StatusCode, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("answer of %s%s is not from an eastway proxy: %w", c.base, path, err)
	}
	return nil
}

// refusal turns an answer other than 200 into an error.
func (c *Client) refusal(path string, code int, body []byte) error {
	var p problem
	if err := json.Unmarshal(body, &p); err != nil || p.Error == "" {
		if path != PathStatus && path != PathEndpoints && code == http.StatusNotFound { // all releases have those
			return fmt.Errorf("%w: %s%s answered 404", ErrOlder, c.base, path)
		}
		text := string(body[:min(len(body), maxProblem)])
		return fmt.Errorf("%s%s answered %d (%q): is that an eastway proxy's admin listener?", c.base, path, code, text)
	}
	if code == http.StatusNotFound && p.Reason == reasonNoService {
		return ErrNoService
	}
	switch p.Reason {
	case reasonBadQuery:
		return errors.New(p.Error)
	case reasonNoPort:
		return fmt.Errorf("%w: %s", ErrNoPort, p.Error)
	}
	return fmt.Errorf("%s%s answered %d: %q", c.base, path, code, p.Error)
}

// innermost leaves "connection refused" of what net/http wraps around it.
func innermost(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fmt.Errorf("no answer within %s", clientTimeout)
	}
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return outer.Err
	}
	return err
}
