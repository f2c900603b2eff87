package check

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/kubecli"
)

const (
	// callTimeout bounds a call as a whole.
	callTimeout = 15 * time.Second
	// maxGreeting is how much of an answer is read and shown, in bytes.
	maxGreeting = 80
)

// Target is a service port to call.
type Target struct {
	Namespace, Service string
	Port               uint16
}

// ParseTarget reads NAMESPACE/SERVICE:PORT.
func ParseTarget(s string) (*Target, error) {
	service, port, found := strings.Cut(s, ":")
	namespace, name, qualified := strings.Cut(service, "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if !found || !qualified || namespace == "" || name == "" || strings.Contains(name, "/") || err != nil || n == 0 {
		return nil, fmt.Errorf("%q is not NAMESPACE/SERVICE:PORT", s)
	}
	return &Target{Namespace: namespace, Service: name, Port: uint16(n)}, nil
}

func (t *Target) String() string { return fmt.Sprintf("%s/%s:%d", t.Namespace, t.Service, t.Port) }

// calling is the check that makes a call, and finds why one failed.
type calling struct{ *facts }

// call makes one: as any application does if this is a pod, else through a port-forward to a proxy.
func (f *calling) call(ctx context.Context) []Result {
	target := f.options.Call
	imported, err := f.cluster.ServiceImport(ctx, target.Namespace, target.Service)
	if errors.Is(err, kubecli.ErrForbidden) && f.options.InPod {
		// The name is enough.
		imported, err = &kubecli.ServiceImport{Name: target.Namespace + "/" + target.Service}, nil
	}
	switch {
	case err != nil:
		return one(unknown(err))
	case imported == nil:
		return one(f.notImported(ctx, target))
	case imported.Headless:
		return one(skip("%s is headless: it has no address of its own to call, its pods have", imported.Name))
	case len(imported.Ports) > 0 && !slices.Contains(imported.Ports, int32(target.Port)):
		return one(fail("%s has no TCP port %d", imported.Name, target.Port).hint("it has %s", and(portNames(imported.Ports))))
	}
	result, err := f.callOnce(ctx, imported, target)
	if err == nil {
		return one(result)
	}
	if cause, known := f.why(ctx, imported, target, err); known {
		return one(cause)
	}
	return one(result)
}

// callOnce returns a result even with an error, in case no better cause is found.
func (f *calling) callOnce(ctx context.Context, imported *kubecli.ServiceImport, target *Target) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	begin := time.Now()
	conn, way, err := f.dialService(ctx, imported, target)
	if err != nil {
		return unknown(fmt.Errorf("call %s: %w", target, err)).hint("from outside the cluster a call goes through its API server to a proxy: " +
			"see whether the proxies above can be reached"), err
	}
	defer conn.Close()
	if deadline, set := ctx.Deadline(); set {
		_ = conn.SetDeadline(deadline) // without one the call takes as long as it takes
	}
	return greet(conn, begin, target, way)
}

func (f *calling) dialService(ctx context.Context, imported *kubecli.ServiceImport, target *Target) (net.Conn, string, error) {
	if !f.options.InPod {
		return f.dialThroughProxy(ctx, target)
	}
	port := strconv.Itoa(int(target.Port))
	name := strings.TrimSuffix(domain(imported.Name), ".")
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(name+".", port))
	if _, dns := errors.AsType[*net.DNSError](err); dns && len(imported.Addresses) > 0 {
		// Another check covers DNS.
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(imported.Addresses[0], port))
		name = imported.Addresses[0]
	}
	return conn, "as " + name, err
}

// dialThroughProxy connects to the proxy's own port for that service port.
func (f *calling) dialThroughProxy(ctx context.Context, target *Target) (net.Conn, string, error) {
	derived, err := f.cluster.Derived(ctx, map[string]string{
		v1alpha1.DerivedLabel: v1alpha1.DerivedImport, v1alpha1.ServiceNamespaceLabel: target.Namespace, v1alpha1.ServiceNameLabel: target.Service,
	})
	if err != nil {
		return nil, "", err
	}
	for i := range derived {
		for _, p := range derived[i].Spec.Ports {
			if p.Port != int32(target.Port) || p.TargetPort.IntValue() <= 0 || p.TargetPort.IntValue() > 0xffff {
				continue
			}
			ready, err := f.ready(ctx)
			if err != nil || len(ready) == 0 {
				return nil, "", errors.Join(err, kubecli.ErrNoProxy)
			}
			pod := &ready[0]
			conn, err := f.cluster.DialPod(ctx, pod.Namespace, pod.Name, uint16(p.TargetPort.IntValue())) // checked above
			return conn, "through proxy " + pod.Name, err
		}
	}
	return nil, "", errNoPort
}

// greet sends an HTTP request: most protocols answer something, or close.
func greet(conn net.Conn, begin time.Time, target *Target, way string) (Result, error) {
	request := fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s.%s\r\nUser-Agent: eastway-check\r\nConnection: close\r\n\r\n",
		target.Service, target.Namespace)
	_, err := io.WriteString(conn, request)
	var line string
	if err == nil {
		line, err = bufio.NewReader(io.LimitReader(conn, maxGreeting)).ReadString('\n')
	}
	took := time.Since(begin).Round(time.Millisecond)
	timeout, _ := errors.AsType[net.Error](err)
	switch {
	case line != "":
		return ok("%s answered %s in %s: %s", target, way, took, visible(line)), nil
	case errors.Is(err, io.EOF):
		return warn("%s accepted the connection %s and closed it without sending anything", target, way).
			hint("a service that does not speak HTTP may do that; 'eastway endpoints' shows where its calls go"), err
	case errors.Is(err, os.ErrDeadlineExceeded), timeout != nil && timeout.Timeout():
		return warn("%s accepted the connection %s, and sent nothing for %s", target, way, took).
			hint("a service that does not speak HTTP may do that"), err
	default:
		return fail("call %s %s: %v", target, way, err).
			hint("no endpoint accepted the call: see 'eastway endpoints %s/%s' here and where it is exported", target.Namespace, target.Service), err
	}
}

// visible makes a line from the network safe for a terminal.
func visible(line string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.TrimSpace(line))
}
