package kubecli

import (
	"context"
	"errors"
	"net"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/internal/admin"
)

// Admin is a client of a proxy pod's admin listener. Close it. The way to the pod is made here, so that the client's own
// time limit is for the proxy alone.
func (c *Cluster) Admin(ctx context.Context, pod *corev1.Pod) (*admin.Client, error) {
	dial := func(ctx context.Context) (net.Conn, error) { return c.DialPod(ctx, pod.Namespace, pod.Name, AdminPort) }
	first, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	return admin.NewClientOver(func(ctx context.Context) (net.Conn, error) {
		mu.Lock()
		made := first
		first = nil
		mu.Unlock()
		if made != nil {
			return made, nil
		}
		return dial(ctx)
	}), nil
}

// QueryProxy calls f with the admin listener of one ready proxy, and of the next one when that cannot be reached.
// skipped gets those errors. ready is how many proxies there are to choose from.
func (c *Cluster) QueryProxy(ctx context.Context, skipped func(error), f func(pod *corev1.Pod, ready int, client *admin.Client) error) error {
	pods, err := c.ReadyProxies(ctx)
	if err != nil {
		return err
	}
	for i := range pods {
		err = c.queryPod(ctx, &pods[i], func(pod *corev1.Pod, client *admin.Client) error { return f(pod, len(pods), client) })
		if !errors.Is(err, ErrUnreachable) && !errors.Is(err, admin.ErrUnreachable) {
			return err
		}
		if i < len(pods)-1 {
			skipped(err)
		}
	}
	return err
}

// QueryPod calls f with the admin listener of that pod.
func (c *Cluster) QueryPod(ctx context.Context, name string, f func(*corev1.Pod, *admin.Client) error) error {
	pod, err := c.Pod(ctx, name)
	if err != nil {
		return err
	}
	return c.queryPod(ctx, pod, f)
}

// QueryProxies calls f with the admin listener of every ready proxy; an error of one does not keep it from the others.
func (c *Cluster) QueryProxies(ctx context.Context, f func(*corev1.Pod, *admin.Client) error) error {
	pods, err := c.ReadyProxies(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for i := range pods {
		errs = append(errs, c.queryPod(ctx, &pods[i], f))
	}
	return errors.Join(errs...)
}

func (c *Cluster) queryPod(ctx context.Context, pod *corev1.Pod, f func(*corev1.Pod, *admin.Client) error) error {
	client, err := c.Admin(ctx, pod)
	if err != nil {
		return err
	}
	defer client.Close()
	return f(pod, client)
}
