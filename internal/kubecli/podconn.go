package kubecli

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
)

const (
	// maxForwardError is how much of the kubelet's error is read, in bytes.
	maxForwardError = 1 << 10
	// forwardErrorWait is how long the end of a connection waits for the reason, which comes on a stream of its own.
	forwardErrorWait = time.Second
)

// podConn is one forwarded connection.
type podConn struct {
	data    httpstream.Stream
	streams httpstream.Connection
	address podAddress

	reason chan struct{} // closed when the kubelet's error is complete
	failed error         // that error; read after reason

	mu      sync.Mutex
	timer   *time.Timer
	expired atomic.Bool
}

// podAddress is both ends' address: they have none of their own.
type podAddress struct {
	pod  string
	port uint16
}

func (podAddress) Network() string  { return "pod" }
func (a podAddress) String() string { return net.JoinHostPort(a.pod, strconv.Itoa(int(a.port))) }

// newPodConn opens the two streams of a forwarded connection: data, and one for the kubelet's error.
func newPodConn(streams httpstream.Connection, pod string, port uint16) (net.Conn, error) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(int(port)))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	reason, err := streams.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	// Nothing is written to it.
	if err := reason.Close(); err != nil {
		return nil, err
	}
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := streams.CreateStream(headers)
	if err != nil {
		return nil, err
	}
	conn := &podConn{data: data, streams: streams, address: podAddress{pod, port}, reason: make(chan struct{})}
	go conn.readReason(reason)
	return conn, nil
}

// readReason ends with the connection, at the latest with Close.
func (c *podConn) readReason(from io.Reader) {
	defer close(c.reason)
	text, err := io.ReadAll(io.LimitReader(from, maxForwardError))
	if err == nil && len(text) > 0 {
		c.failed = errors.New(forwardReason(string(text)))
	}
}

// forwardReason leaves out the runtime's own names for pods and network namespaces, which come before what happened.
func forwardReason(text string) string {
	if _, after, found := strings.Cut(text, "network namespace "); found {
		if _, happened, found := strings.Cut(after, ": "); found {
			text = happened
		}
	}
	return oneLine(text)
}

// Failure is the kubelet's error; nil if there is none, or none yet.
func (c *podConn) Failure() error {
	select {
	case <-c.reason:
		return c.failed
	default:
		return nil
	}
}

// Read gives the kubelet's reason at the end of a connection that it could not make.
func (c *podConn) Read(p []byte) (int, error) {
	n, err := c.data.Read(p)
	if n > 0 || err == nil {
		return n, err
	}
	if c.expired.Load() {
		return n, os.ErrDeadlineExceeded
	}
	wait := time.NewTimer(forwardErrorWait)
	defer wait.Stop()
	select {
	case <-c.reason:
		if c.failed != nil {
			return n, c.failed
		}
	case <-wait.C:
	}
	return n, err
}

func (c *podConn) Write(p []byte) (int, error) {
	n, err := c.data.Write(p)
	if err != nil && c.expired.Load() {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// Close ends the forwarding as a whole: it carries this one connection.
func (c *podConn) Close() error {
	c.mu.Lock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	err := errors.Join(c.data.Reset(), c.streams.Close())
	<-c.reason
	return err
}

// SetDeadline ends the connection at that time: streams have no deadlines, and what missed one is not used again.
func (c *podConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if !t.IsZero() {
		c.timer = time.AfterFunc(time.Until(t), func() {
			c.expired.Store(true)
			// A read or write under way returns it.
			_ = c.streams.Close()
		})
	}
	return nil
}

func (c *podConn) SetReadDeadline(t time.Time) error  { return c.SetDeadline(t) }
func (c *podConn) SetWriteDeadline(t time.Time) error { return c.SetDeadline(t) }
func (c *podConn) LocalAddr() net.Addr                { return c.address }
func (c *podConn) RemoteAddr() net.Addr               { return c.address }
