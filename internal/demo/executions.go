package demo

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// executions are, by request ID, the processes that began to execute it, once per execution.
type executions map[string][]executed

type executed struct{ service, process string }

// readExecutions reads the logs of all applications. An application that was never called has none.
func readExecutions(l layout, t topology) (executions, error) {
	x := make(executions)
	for _, z := range t.zones() {
		for _, role := range chain() {
			if err := x.read(l.executions(z.process(role)), executed{role, z.process(role)}); err != nil {
				return nil, err
			}
		}
	}
	return x, nil
}

func (x executions) read(path string, by executed) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the executions of %s: %w", by.process, err)
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		id, _, ok := strings.Cut(lines.Text(), " ")
		if ok {
			x[id] = append(x[id], by)
		}
	}
	if err := errors.Join(lines.Err(), f.Close()); err != nil {
		return fmt.Errorf("read the executions of %s: %w", by.process, err)
	}
	return nil
}

// by names the processes that executed a request.
func (x executions) by(id string) []string {
	names := make([]string, 0, len(x[id]))
	for _, e := range x[id] {
		names = append(names, e.process)
	}
	return names
}

// twice lists what one service executed more than once, whichever of its replicas did, sorted.
func (x executions) twice() []Execution {
	found := []Execution{}
	for id, all := range x {
		for _, service := range chain() {
			var by []string
			for _, e := range all {
				if e.service == service {
					by = append(by, e.process)
				}
			}
			if len(by) > 1 {
				found = append(found, Execution{ID: id, Service: service, By: by})
			}
		}
	}
	slices.SortFunc(found, func(a, b Execution) int {
		if c := strings.Compare(a.ID, b.ID); c != 0 {
			return c
		}
		return strings.Compare(a.Service, b.Service)
	})
	return found
}
