package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/eastway/eastway/e2e/cluster/lab"
)

const (
	// diagnosisTime for all questions to one cluster; an API server may be down.
	diagnosisTime = 20 * time.Second
	// extractLines of each log that are worth a look at once.
	extractLines = 12
)

// Diagnose writes everything that helps to find a failure's cause into a folder,
// and shows its path and the extract that one looks at first as progress: without
// -v that comes before what the test itself says, which is easily found then.
func (i *Installer) Diagnose(ctx context.Context, name string) {
	dir := filepath.Join(i.Dir, "diagnosis", strings.ReplaceAll(name, "/", "-"))
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		fmt.Fprintln(i.Progress, err)
		return
	}
	extracts := make([]string, len(i.Lab.Clusters))
	var asking sync.WaitGroup
	for n, c := range i.Lab.Clusters {
		asking.Go(func() { extracts[n] = diagnose(ctx, c, i.Namespace, dir) })
	}
	asking.Wait()
	fmt.Fprintf(i.Progress, "%s failed, everything: %s\n%s", name, dir, strings.Join(extracts, ""))
}

// question to a cluster, whose answer goes to a file.
type question struct {
	file    string
	command *exec.Cmd
}

func diagnose(ctx context.Context, c *lab.Cluster, namespace, dir string) string {
	ctx, cancel := context.WithTimeout(ctx, diagnosisTime)
	defer cancel()
	kubectl := func(args ...string) *exec.Cmd {
		return c.Kubectl(ctx, append([]string{"--request-timeout=10s"}, args...)...)
	}
	questions := []question{
		{"pods.txt", kubectl("get", "pods", "-A", "-o", "wide")},
		{"describe.txt", kubectl("-n", namespace, "describe", "pods")},
		{"events.txt", kubectl("get", "events", "-A", "--sort-by=.lastTimestamp")},
		{"services.txt", kubectl("get", "services,endpointslices", "-A", "-o", "wide", "--show-labels")},
		{"peers.yaml", kubectl("get", "peers,trafficpolicies", "-A", "-o", "yaml")},
		{"mcs.yaml", kubectl("get", "serviceexports,serviceimports,trafficpolicies,externalservices", "-A", "-o", "yaml")},
	}
	for _, component := range []string{"controller", "proxy", "node"} {
		selector := "--selector=app.kubernetes.io/component=" + component
		questions = append(questions,
			question{component + ".log", kubectl("-n", namespace, "logs", selector, "--prefix", "--tail=-1")},
			question{component + "-before.log", kubectl("-n", namespace, "logs", selector, "--prefix", "--tail=-1", "--previous")})
	}
	pods, err := kubectl("-n", namespace, "get", "pods", "--selector=app.kubernetes.io/component=proxy", "-o", "name").Output()
	if err == nil {
		for pod := range strings.FieldsSeq(string(pods)) {
			name := strings.ReplaceAll(pod, "/", "-")
			questions = append(questions,
				question{name + "-status.txt", kubectl("-n", namespace, "exec", pod, "--", "/eastway", "status")},
				question{name + "-status.json", kubectl("-n", namespace, "exec", pod, "--", "/eastway", "status", "-o", "json")})
		}
	}
	for _, n := range c.Nodes {
		questions = append(questions, question{n.Name + ".nft", n.Command(ctx, "nft", "list", "ruleset")})
	}
	var asking sync.WaitGroup
	for _, q := range questions {
		asking.Go(func() {
			answer, err := q.command.CombinedOutput()
			if err != nil {
				answer = fmt.Appendf(answer, "\n%s: %v\n", q.command, err)
			}
			_ = os.WriteFile(filepath.Join(dir, c.Name+"-"+q.file), answer, 0o644)
		})
	}
	asking.Wait()
	return extract(c.Name, dir)
}

// extract what one looks at first: pods that are not well, and how logs complain.
func extract(cluster, dir string) string {
	var text strings.Builder
	lines := func(file string, pick func(line string) bool) {
		content, err := os.ReadFile(filepath.Join(dir, cluster+"-"+file))
		if err != nil {
			return
		}
		var picked []string
		for line := range bytes.Lines(content) {
			if pick(string(line)) {
				picked = append(picked, string(line))
			}
		}
		if more := len(picked) - extractLines; more > 0 {
			picked = append([]string{fmt.Sprintf("… %d before\n", more)}, picked[more:]...)
		}
		if len(picked) > 0 {
			fmt.Fprintf(&text, "--- %s %s\n%s", cluster, file, strings.Join(picked, ""))
		}
	}
	lines("pods.txt", func(line string) bool {
		fields := strings.Fields(line)
		const readyField, statusField = 2, 3
		return len(fields) > statusField && fields[0] != "NAMESPACE" && (fields[readyField] != "1/1" || fields[statusField] != "Running")
	})
	for _, log := range []string{"controller.log", "proxy.log", "node.log", "controller-before.log", "proxy-before.log", "node-before.log"} {
		lines(log, func(line string) bool {
			for _, sign := range []string{`"level":"error"`, `"level":"warn"`, "panic", "fatal", "Error:"} {
				if strings.Contains(line, sign) {
					return true
				}
			}
			return false
		})
	}
	return text.String()
}
