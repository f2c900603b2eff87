package lab

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/e2e/wan/link"
)

// call a node's pods from a node of another cluster.
func call(ctx context.Context, from, to *Node) error {
	url := "http://" + to.Address.String() + ":30080/"
	return from.Command(ctx, "busybox", "timeout", "2", "wget", "-q", "-O", "/dev/null", url).Run()
}

func checkReach(t *testing.T, l *Lab) {
	here, there := l.Clusters[0], l.Clusters[1]
	defer func() {
		if err := here.SetReach(t.Context(), Public); err != nil {
			t.Error(err)
		}
	}()
	for _, test := range []struct {
		reach   Reach
		in, out bool
	}{{Private, false, true}, {Silent, false, false}, {Public, true, true}} {
		if err := here.SetReach(t.Context(), test.reach); err != nil {
			t.Fatal(err)
		}
		if err := call(t.Context(), there.Nodes[0], here.Nodes[0]); (err == nil) != test.in {
			t.Errorf("%s: reached from outside: %v", test.reach, err)
		}
		if err := call(t.Context(), here.Nodes[0], there.Nodes[0]); (err == nil) != test.out {
			t.Errorf("%s: reaches others: %v", test.reach, err)
		}
		if err := call(t.Context(), here.Nodes[0], here.Nodes[1]); err != nil {
			t.Errorf("%s: within the site: %v", test.reach, err)
		}
		kubectl(t, here, "get", "nodes") // from this computer
	}
	if err := here.SetReach(t.Context(), "odd"); err == nil || !strings.Contains(err.Error(), "odd") {
		t.Errorf("an odd reach: %v", err)
	}
}

// checkLine: calls between sites take an emulated WAN while there is one.
func checkLine(t *testing.T, l *Lab) {
	if err := link.Supported(); err != nil {
		t.Fatal(err)
	}
	here, there := l.Clusters[0], l.Clusters[1]
	config, err := l.Line(here, there)
	if err != nil {
		t.Fatal(err)
	}
	const delay = 100 * time.Millisecond
	config.AtoB.Delay, config.BtoA.Delay = delay, delay
	line, err := link.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- line.Run(ctx) }()
	began := time.Now()
	if err := call(t.Context(), there.Nodes[0], here.Nodes[0]); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < 4*delay { // the handshake, then the request
		t.Errorf("it took only %v", took)
	}
	for _, d := range []link.Direction{link.AtoB, link.BtoA} {
		if count := line.Counters(d).Delivered; count.Packets == 0 {
			t.Errorf("%s carried %v", d, count)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := line.Close(); err != nil {
		t.Error(err)
	}
	if err := call(t.Context(), there.Nodes[0], here.Nodes[0]); err != nil {
		t.Errorf("without the line: %v", err)
	}
}

// checkZones: a Service that prefers what is near is called in the zone of the node, however often its kube-proxy starts.
func checkZones(t *testing.T, c *Cluster) {
	const starts, calls = 5, 12
	ip, err := c.Kubectl(t.Context(), "get", "service", "echo-near", "-o", "jsonpath={.spec.clusterIP}").Output()
	if err != nil {
		t.Fatal(err)
	}
	n := c.Nodes[0]
	for range starts {
		if err := n.StopDaemon(t.Context(), KubeProxy); err != nil {
			t.Fatal(err)
		}
		if err := n.StartDaemon(t.Context(), KubeProxy); err != nil {
			t.Fatal(err)
		}
		row := 0
		eventually(t, "calls to stay in the zone", func(ctx context.Context) error {
			for ; row < calls; row++ {
				output, err := n.Command(ctx, "busybox", "timeout", "2", "wget", "-q", "-O", "-", "http://"+string(ip)+"/").CombinedOutput()
				if err != nil {
					return fmt.Errorf("%s: %w", output, err)
				}
				if answer := strings.TrimSpace(string(output)); answer != n.Name {
					row = 0
					return fmt.Errorf("%s answered %s", answer, n.Name)
				}
			}
			return nil
		})
	}
}
