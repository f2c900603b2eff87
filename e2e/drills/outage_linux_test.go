package drills

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/e2e/cluster/lab"
)

// outageTime is how long the API server is away.
const outageTime = time.Minute

// withoutAPIServer: the API server of a cluster is away for a minute, in which a
// node agent and a proxy are killed and have to come back without it.
func withoutAPIServer(w *world, t *testing.T) {
	d := w.begin(t, "API server away", usual)
	home := w.home()
	ctx := t.Context()
	zone, other := home.Zones[0], home.Zones[1]
	proxy, err := home.pod(ctx, "proxy", zone)
	d.must(err)
	agent, err := home.pod(ctx, "node", other)
	d.must(err)
	d.phase("healthy")
	d.await("every chain answers from its own zone", lastOf(someCalls, d.zones(), (*record).home))

	d.phase("API server away")
	stopped := time.Now()
	minute := time.NewTimer(outageTime)
	defer minute.Stop()
	d.must(home.StopAPIServer(ctx))
	t.Cleanup(func() {
		if d.Failed() {
			_ = home.StartAPIServer(context.WithoutCancel(ctx)) // an error if it runs
		}
	})
	d.await("every chain answers from its own zone", lastOf(someCalls, d.zones(), (*record).home))

	d.phase("agent killed")
	d.must(killContainer(agent, "node"))
	d.must(w.awaitBack(ctx, home, agent, "node", "15022"))
	d.await("every chain answers from its own zone", lastOf(someCalls, d.zones(), (*record).home))

	d.phase("proxy killed")
	killed := time.Now()
	d.must(killContainer(proxy, "proxy"))
	gone := time.Now()
	d.excuse = func(r *record) string { return excuseKilled(r, zone, killed, gone) }
	d.must(w.awaitBack(ctx, home, proxy, "proxy", "15020"))
	d.notes = append(d.notes, fmt.Sprintf("the proxy was ready again after %.1fs, without the API server", time.Since(gone).Seconds()))
	d.await("every chain answers from its own zone", lastOf(someCalls, d.zones(), (*record).home))
	select {
	case <-minute.C:
	case <-ctx.Done():
	}

	d.phase("API server back")
	d.must(home.StartAPIServer(ctx))
	d.notes = append(d.notes, fmt.Sprintf("the API server was away for %.0fs", time.Since(stopped).Seconds()))
	d.must(w.settled(ctx))
	d.await("every chain answers from its own zone", lastOf(manyCalls, d.zones(), (*record).home))
	d.end()
}

// killContainer ends a container's process, without asking the API server where it is.
func killContainer(pod *corev1.Pod, container string) error {
	pid, err := containerProcess(pod, container)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s of %s: %w", container, pod.Name, err)
	}
	return nil
}

// containerProcess is the process of a container, found by its cgroup.
func containerProcess(pod *corev1.Pod, container string) (int, error) {
	for i := range pod.Status.ContainerStatuses {
		status := &pod.Status.ContainerStatuses[i]
		if status.Name != container {
			continue
		}
		_, id, _ := strings.Cut(status.ContainerID, "://")
		files, err := filepath.Glob("/proc/[0-9]*/cgroup")
		if err != nil {
			return 0, err
		}
		for _, file := range files {
			groups, err := os.ReadFile(file)
			if err == nil && id != "" && bytes.Contains(groups, []byte(id)) {
				return strconv.Atoi(filepath.Base(filepath.Dir(file)))
			}
		}
	}
	return 0, fmt.Errorf("pod %s has no running container %s", pod.Name, container)
}

// awaitBack returns when another process of a container that was killed is
// ready, by what it says itself at its health port.
func (w *world) awaitBack(ctx context.Context, c *cluster, pod *corev1.Pod, container, port string) error {
	return lab.Await(ctx, container+" of "+pod.Name+" to be ready again", patience, func(ctx context.Context) error {
		for _, n := range c.Nodes {
			if n.Name != pod.Spec.NodeName {
				continue
			}
			out, err := n.Command(ctx, w.mock, "ask", "http://"+pod.Status.PodIP+":"+port+"/readyz").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}
		return errors.New("its node is not known")
	})
}
