package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/admin/view"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli"
)

// proxyFlags say which proxy to ask: one on this machine, or one in a Kubernetes cluster.
type proxyFlags struct {
	address string
	kube    kubeFlags
	pod     string
	all     bool
}

func (p *proxyFlags) add(cmd *cobra.Command, where string) {
	flags := cmd.Flags()
	flags.StringVar(&p.address, "admin", admin.DefaultAddress, "`address` of the admin listener of a proxy outside Kubernetes, HOST:PORT")
	p.kube.add(cmd, where)
	flags.StringVar(&p.pod, "proxy", "", "`pod` of the proxy to query (default: a ready one)")
	flags.BoolVar(&p.all, "all", false, "query every ready proxy of the cluster")
	cmd.MarkFlagsMutuallyExclusive("proxy", "all")
	p.kube.excludes(cmd, "admin")
	cmd.MarkFlagsMutuallyExclusive("admin", "proxy")
	cmd.MarkFlagsMutuallyExclusive("admin", "all")
}

// local reports whether to query a proxy on this machine.
func (p *proxyFlags) local(cmd *cobra.Command) bool {
	return cmd.Flags().Changed("admin") || (!p.all && p.pod == "" && !p.kube.wanted(cmd))
}

// answerer names what answered: a proxy pod; "" for none in particular.
type answerer struct {
	pod     *corev1.Pod
	context string
	// of is how many ready proxies it was chosen from; 0 if it was not chosen.
	of int
}

// String is empty for a proxy on this machine.
func (s answerer) String() string {
	switch {
	case s.pod == nil:
		return ""
	case s.context == "":
		return s.pod.Namespace + "/" + s.pod.Name
	default:
		return fmt.Sprintf("%s/%s (context %s)", s.pod.Namespace, s.pod.Name, s.context)
	}
}

// name is NAMESPACE/NAME of the pod; "" for a proxy on this machine.
func (s answerer) name() string {
	if s.pod == nil {
		return ""
	}
	return s.pod.Namespace + "/" + s.pod.Name
}

// others says that there are more proxies than the one that answered, each with a view of its own; "" if there are not.
func (s answerer) others() string {
	if s.of < 2 {
		return ""
	}
	return fmt.Sprintf("one of %d ready proxies (--all: every one, --proxy POD: another one)", s.of)
}

// source is how it is named in what it answers.
func (s answerer) source() view.Source {
	if s.pod == nil {
		return view.Source{}
	}
	return view.Source{Pod: s.String(), Node: s.pod.Spec.NodeName, Others: s.others()}
}

// ask calls f with the client of each admin listener that was meant, and gives errors their remedy and exit code.
func (p *proxyFlags) ask(cmd *cobra.Command, f func(answerer, *admin.Client) error) error {
	if p.local(cmd) {
		return ask(p.address, func(client *admin.Client) error { return f(answerer{}, client) })
	}
	return p.kube.with(func(c *kubecli.Cluster) error {
		ctx := cmd.Context()
		chosen := func(pod *corev1.Pod, ready int, client *admin.Client) error {
			return f(answerer{pod: pod, context: c.Context, of: ready}, client)
		}
		each := func(pod *corev1.Pod, client *admin.Client) error { return chosen(pod, 0, client) }
		var err error
		switch {
		case p.all:
			err = c.QueryProxies(ctx, each)
		case p.pod != "":
			err = c.QueryPod(ctx, p.pod, each)
		default:
			err = c.QueryProxy(ctx, func(skipped error) { note(cmd, "%v; trying another proxy", skipped) }, chosen)
		}
		return adminError(err, "")
	})
}

// ask calls f with a client of the admin listener on this machine.
func ask(address string, f func(*admin.Client) error) error {
	client, err := admin.NewClient(address)
	if err != nil {
		return command.Usagef("--admin: %w", err)
	}
	defer client.Close()
	return adminError(f(client), ": is 'eastway proxy' running? (--admin)")
}

func adminError(err error, remedy string) error {
	switch {
	case errors.Is(err, admin.ErrUnreachable):
		return command.WithExit(command.Unreachable, fmt.Errorf("%w%s", err, remedy))
	case errors.Is(err, admin.ErrNoService), errors.Is(err, admin.ErrNoPort):
		return command.WithExit(command.NotFound, err)
	default:
		return err
	}
}
