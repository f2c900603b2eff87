package mcs

import (
	"bufio"
	"context"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// noLongerTrusted: when a peer is denied, or removed, its open streams are reset. What is trusted again connects again.
func noLongerTrusted(s *spec) {
	s.create(s.first, withoutAffinity)
	s.export(s.first)
	name := s.second.Name
	good := s.peer(s.first, name, v1alpha1.PeerConnected, metav1.ConditionTrue)
	deny := func(ctx context.Context, what any) error {
		_, err := s.kubectl(ctx, s.first, "", "patch", "peer", name, "--type=merge", "-p", s.yaml(map[string]any{
			"spec": map[string]any{"denied": what},
		}))
		return err
	}
	accept := func(ctx context.Context) error { return deny(ctx, nil) }
	for _, c := range []struct {
		about     string
		end, undo func(context.Context) error
	}{
		{"denied", func(ctx context.Context) error {
			return deny(ctx, []map[string]string{{"spiffeID": good.Spec.SPIFFEID}})
		}, accept},
		{"removed", func(ctx context.Context) error {
			_, err := s.Eastway(ctx, "peer", "remove", name, "--context", s.first.Name)
			return err
		}, s.Link},
	} {
		s.calls(s.second, manyCalls, s.address(helloPort), from(s.first))
		undo := sync.OnceValue(func() error { return c.undo(context.WithoutCancel(s.Context())) })
		s.Cleanup(func() { _ = undo() })
		ended := s.hold(s.second, s.address(helloPort), from(s.first))
		began := time.Now()
		s.must(c.end(s.Context()))
		took := time.Since(began)
		when, how := ended()
		s.Logf("%s: the stream ended %v after the command began, which took %v: %s", c.about, when.Sub(began), took, how)
		if !strings.Contains(how, "reset") {
			s.Errorf("%s: the stream was not reset: %s", c.about, how)
		}
		s.must(undo())
		s.must(s.AwaitConnected(s.Context()))
	}
	s.calls(s.second, manyCalls, s.address(helloPort), from(s.first))
}

// hold a connection from the pod that calls. It is answered when hold returns; ended waits for its end.
func (s *spec) hold(c *cluster, address string, right func(answer string) bool) (ended func() (when time.Time, how string)) {
	s.Helper()
	command := c.Kubectl(s.Context(), "--namespace", s.namespace, "exec", "request", "--", "/hello", "hold", address)
	out, err := command.StdoutPipe()
	s.must(err)
	s.must(command.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() || !right(lines.Text()) {
		s.Fatalf("%s: the held connection to %s was answered by %q, %v", c.Name, address, lines.Text(), lines.Err())
	}
	return func() (time.Time, string) {
		s.Helper()
		if !lines.Scan() {
			s.Fatalf("%s does not say how the held connection ended: %v", c.Name, lines.Err())
		}
		at, how, _ := strings.Cut(lines.Text(), " ")
		when, err := time.Parse(time.RFC3339Nano, at)
		s.must(err)
		s.must(command.Wait())
		return when, how
	}
}
