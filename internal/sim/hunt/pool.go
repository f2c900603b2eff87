package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/eastway/eastway/internal/sim"
)

// ruleAlive is broken by a run that ends its process.
const ruleAlive = "a run ends"

// build compiles the worker; overlay, if not empty, is a file for `go build -overlay`.
func build(ctx context.Context, dir, overlay string) (string, error) {
	worker := filepath.Join(dir, "worker")
	args := []string{"test", "-c", "-o", worker}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "github.com/eastway/eastway/internal/sim")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the worker: %w\n%s", err, out)
	}
	return worker, nil
}

// worker is a process that runs worlds, one at a time. It is started when it is needed, and again after it has crashed.
type worker struct {
	binary string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	stderr bytes.Buffer
}

func (w *worker) start(ctx context.Context) error {
	w.cmd = exec.CommandContext(ctx, w.binary, "-test.run=^TestWorker$", "-test.timeout=0", "-sim.work")
	w.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	w.stderr.Reset()
	w.cmd.Stderr = &w.stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	w.out = json.NewDecoder(out)
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return err
	}
	return w.cmd.Start()
}

// do makes one run. A run that ends the process has broken a rule.
func (w *worker) do(ctx context.Context, r sim.Request) (*sim.Reply, error) {
	if w.cmd == nil {
		if err := w.start(ctx); err != nil {
			return nil, fmt.Errorf("start %s: %w", w.binary, err)
		}
	}
	reply := new(sim.Reply)
	err := json.NewEncoder(w.in).Encode(&r)
	if err == nil {
		err = w.out.Decode(reply)
	}
	if err == nil {
		return reply, nil
	}
	left, _ := io.ReadAll(w.out.Buffered())
	w.stop()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	reply.Seed = r.Seed
	if r.Plan != nil {
		reply.Seed = r.Plan.Seed
	}
	text := clip(string(left) + w.stderr.String())
	reply.Violations = []sim.Violation{{Rule: ruleAlive, Text: text}}
	return reply, nil
}

func (w *worker) stop() {
	if w.cmd != nil {
		_ = w.in.Close()
		_ = w.cmd.Wait() // how it ended is in stderr
		w.cmd = nil
	}
}

// clip keeps the beginning of what a crash prints.
func clip(s string) string {
	const most = 4000
	if s = strings.TrimSpace(s); len(s) > most {
		return s[:most] + " …"
	}
	return s
}
