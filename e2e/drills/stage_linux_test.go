package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/internal/admin"
)

// stage is where drills are played that need no Kubernetes: two clusters with Eastway, and the applications of manifests/.
type stage interface {
	where() string
	// folder is for reports.
	folder() string
	// sites are the home cluster, where things break, and the other one.
	sites() []*site
	// settle returns when all of Eastway and of the applications is as it should be.
	settle(ctx context.Context) error

	// apply a template of manifests/ with values to a cluster, and remove what has these names.
	apply(ctx context.Context, c *site, template string, values map[string]any) error
	remove(ctx context.Context, c *site, names ...string) error
	// change a workload; rolledOut returns when all are as they should be, and nothing is left of what they were.
	change(ctx context.Context, c *site, deployment string, how func(*appsv1.DeploymentSpec)) error
	rolledOut(ctx context.Context, c *site) error
	// setPolicy changes a TrafficPolicy.
	setPolicy(ctx context.Context, c *site, name string, how func(*v1alpha1.TrafficPolicySpec)) error

	// hostOf is the name by which applications call an ExternalService.
	hostOf(ctx context.Context, c *site, external string) (string, error)
	// trustOutside has the proxies trust a CA of what is outside: the fields of spec.tls that say so.
	trustOutside(ctx context.Context, c *site) (ca *authority, fields map[string]string, err error)
	// running are the pods of an application that run.
	running(ctx context.Context, c *site, app string) ([]place, error)
	// answer to one call from a zone.
	answer(ctx context.Context, c *site, zone, url string) (string, error)
	// endpoints of a service, as each proxy of a cluster sees them.
	endpoints(ctx context.Context, c *site, service string) ([]admin.ServiceEndpoints, error)
	// accessLogs of a cluster's proxies, one after the other.
	accessLogs(ctx context.Context, c *site) (string, error)
	// installNginx lets applications have it as their image; complaints are what they have logged, and their restarts.
	installNginx(ctx context.Context, program string) error
	complaints(ctx context.Context, c *site, app string) (string, error)

	// explain what the stage was like when a test failed, and keep logs in a folder.
	explain(t *testing.T)
	keepLogs(dir string)
}

// site is a cluster.
type site struct {
	Name, Region string
	Zones        []string
	// streamSeconds is how long streams to it last.
	streamSeconds float64
}

// solo is the name of the service that only this cluster has.
func (c *site) solo() string { return strings.Replace(c.Name, "cluster", "solo", 1) }

// soloHost is its name for all other clusters.
func (c *site) soloHost() string { return c.solo() + "." + namespace + ".svc.clusterset.local" }

// place of a pod.
type place struct {
	name, zone, ip string
	node           commander
	mock           string // the program
}

// commander runs programs in the network of a place.
type commander interface {
	Command(ctx context.Context, name string, args ...string) *exec.Cmd
}

// command asks a pod something: args of `mock ask`, the path last.
func (p place) command(ctx context.Context, args ...string) *exec.Cmd {
	last := len(args) - 1
	args = append([]string{"ask"}, args...)
	args[last+1] = "http://" + net.JoinHostPort(p.ip, strconv.Itoa(load.Port)) + args[last+1]
	return p.node.Command(ctx, p.mock, args...)
}

func (p place) ask(ctx context.Context, args ...string) error {
	if out, err := p.command(ctx, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ask %s: %w: %s", p.name, err, out)
	}
	return nil
}

// read what a pod writes, live, in JSON.
func read[T any](ctx context.Context, p place, path string, each func(T)) error {
	command := p.command(ctx, path)
	out, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	lines := json.NewDecoder(out)
	for {
		var one T
		if err := lines.Decode(&one); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(err, command.Wait())
		}
		each(one)
	}
}

// deployChain into all clusters.
func deployChain(ctx context.Context, s stage) error {
	for _, c := range s.sites() {
		err := s.apply(ctx, c, "chain.yaml", map[string]any{
			"Image": mockImage, "Zones": c.Zones, "Solo": c.solo(),
			"Chain": map[string]string{"mocka": "http://mockb:8000/", "mockb": "http://mockc:8000/", "mockc": ""},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// removeAtEnd removes objects from a cluster when the test ends.
func removeAtEnd(s stage, t *testing.T, c *site, names ...string) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), endPatience)
		defer cancel()
		if err := s.remove(ctx, c, names...); err != nil {
			t.Errorf("remove %v from %s: %v", names, c.Name, err)
		}
	})
}

// awaitAnswers to each of the URLs, from all zones.
func awaitAnswers(ctx context.Context, s stage, c *site, urls ...string) error {
	for _, zone := range c.Zones {
		for _, url := range urls {
			err := lab.Await(ctx, url+" to answer in "+zone, patience, func(ctx context.Context) error {
				_, err := s.answer(ctx, c, zone, url)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
