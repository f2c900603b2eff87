package kubecli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	compat "k8s.io/apimachinery/pkg/util/httpstream" //nolint:staticcheck // what spdy.Upgrader has to return
	protocol "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/transport/websocket"
	"k8s.io/streaming/pkg/httpstream"
	spdystream "k8s.io/streaming/pkg/httpstream/spdy"
)

// maxForwardStatus is how much is read of the API server's response instead of an upgrade, in bytes.
const maxForwardStatus = 64 << 10

// dialTimeout bounds the way to a pod: the API server's answer, and its connection to the kubelet.
const dialTimeout = 15 * time.Second

// DialPod connects to a TCP port of the pod's loopback address through the API server. The caller needs the right to
// create pods/portforward (or to get it, where the API server takes WebSockets).
func (c *Cluster) DialPod(ctx context.Context, namespace, pod string, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	streams, err := c.upgrade(ctx, base.JoinPath("api", "v1", "namespaces", namespace, "pods", pod, "portforward"))
	if err != nil {
		return nil, fmt.Errorf("port-forward to pod %s/%s: %w", namespace, pod, c.explainForward(ctx, err))
	}
	conn, err := newPodConn(streams, pod, port)
	if err != nil {
		return nil, fmt.Errorf("port-forward to port %d of pod %s/%s: %w: %w", port, namespace, pod, ErrUnreachable,
			errors.Join(err, streams.Close()))
	}
	return conn, nil
}

// upgrade opens the connection that carries the streams: as WebSocket, which gets through most reverse proxies, else as SPDY,
// which older API servers have, and which takes another right: a WebSocket begins as GET, so that up to Kubernetes 1.34 the
// right to create, the usual one, does not suffice for it.
func (c *Cluster) upgrade(ctx context.Context, target *url.URL) (httpstream.Connection, error) {
	streams, err := c.overWebSocket(ctx, target)
	status := statusOf(err)
	if httpstream.IsHTTPSProxyError(err) || (httpstream.IsUpgradeFailure(err) && (status == nil || apierrors.IsForbidden(status))) {
		return c.overSPDY(ctx, target)
	}
	return streams, err
}

func (c *Cluster) overWebSocket(ctx context.Context, target *url.URL) (httpstream.Connection, error) {
	transport, holder, err := websocket.RoundTripperFor(c.config)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	conn, err := websocket.Negotiate(transport, holder, req, protocol.WebsocketsSPDYTunnelingPortForwardV1)
	if err != nil {
		return nil, err
	}
	return spdystream.NewClientConnection(portforward.NewTunnelingConnection("eastway", conn))
}

func (c *Cluster) overSPDY(ctx context.Context, target *url.URL) (httpstream.Connection, error) {
	transport, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	streams, _, err := spdy.NegotiateStreaming(&readsStatus{upgrader}, &http.Client{Transport: transport}, req, protocol.PortForwardV1Name)
	return streams, err
}

// readsStatus keeps the API server's own response instead of an upgrade, of which the upgrader leaves only the text.
type readsStatus struct{ spdy.Upgrader }

// NewConnection implements spdy.Upgrader.
func (u *readsStatus) NewConnection(resp *http.Response) (compat.Connection, error) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return u.Upgrader.NewConnection(resp)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxForwardStatus))
	err = errors.Join(err, resp.Body.Close())
	var status metav1.Status
	if err == nil && json.Unmarshal(text, &status) == nil && status.Kind == "Status" {
		return nil, apierrors.FromObject(&status)
	}
	return nil, errors.Join(fmt.Errorf("no upgrade: %s %q", resp.Status, text[:min(len(text), maxForwardError)]), err)
}

// statusOf is the API server's own response instead of an upgrade; nil if it came from an intermediary.
func statusOf(err error) error {
	if upgrade, ok := errors.AsType[*httpstream.UpgradeFailureError](err); ok {
		err = upgrade.Cause
	}
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		return status
	}
	return nil
}

func (c *Cluster) explainForward(ctx context.Context, err error) error {
	status := statusOf(err)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w within %s", ErrUnreachable, dialTimeout)
	case ctx.Err() != nil:
		return ctx.Err()
	case apierrors.IsForbidden(status):
		return fmt.Errorf("%w: it takes the right to create pods/portforward: %s", ErrForbidden, oneLine(status.Error()))
	case status != nil:
		return errors.New(oneLine(status.Error()))
	default:
		return fmt.Errorf("%w: %w", ErrUnreachable, innermost(err))
	}
}
