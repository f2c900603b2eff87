package demo

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
)

// executions are, by request ID, the processes that began to execute it, once per execution.
type executions map[string][]executed

type executed struct{ service, process, method string }

// readExecutions reads the logs of all applications. An application that was never called has none.
func readExecutions(l layout, t topology) (executions, error) {
	x := make(executions)
	for _, z := range t.zones() {
		for _, role := range chain() {
			if err := x.read(l.executions(z.process(role)), executed{service: role, process: z.process(role)}); err != nil {
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
		id, method, ok := strings.Cut(lines.Text(), " ")
		if ok {
			by.method = method
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

// again lists what one service executed more than once, whichever of its replicas did, sorted. A GET may be, since a
// proxy sends it once more when its answer does not come; anything else was executed twice.
func (x executions) again() (twice, repeated []Execution) {
	twice, repeated = []Execution{}, []Execution{}
	for id, all := range x {
		for _, service := range chain() {
			var by []string
			get := true
			for _, e := range all {
				if e.service == service {
					by = append(by, e.process)
					get = get && e.method == http.MethodGet
				}
			}
			switch found := (Execution{ID: id, Service: service, By: by}); {
			case len(by) <= 1:
			case get:
				repeated = append(repeated, found)
			default:
				twice = append(twice, found)
			}
		}
	}
	sortExecutions(twice)
	sortExecutions(repeated)
	return twice, repeated
}

func sortExecutions(found []Execution) {
	slices.SortFunc(found, func(a, b Execution) int {
		if c := strings.Compare(a.ID, b.ID); c != 0 {
			return c
		}
		return strings.Compare(a.Service, b.Service)
	})
}
