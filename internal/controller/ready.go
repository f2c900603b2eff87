package controller

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// readiness is what the process waits for, for the operator.
type readiness struct {
	mu       sync.Mutex
	waiting  string           // "" when started
	watching map[string]error // by kind, the newest error of a watch that has not worked since
	identity error
}

func newReadiness() *readiness {
	return &readiness{waiting: "starting", watching: map[string]error{}}
}

func (r *readiness) wait(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = what
}

// watchFailed keeps why objects of a kind cannot be read; once the process has started, the reflectors retry by themselves.
func (r *readiness) watchFailed(kind string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting != "" {
		r.watching[kind] = err
	}
}

func (r *readiness) started() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = ""
	clear(r.watching)
}

func (r *readiness) check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == "" {
		return nil
	}
	if len(r.watching) == 0 {
		return errors.New(r.waiting)
	}
	var why []string
	for _, kind := range slices.Sorted(maps.Keys(r.watching)) {
		why = append(why, fmt.Sprintf("%s: %v", kind, r.watching[kind]))
	}
	return fmt.Errorf("%s: %s", r.waiting, strings.Join(why, "; "))
}

func (r *readiness) setIdentity(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.identity = err
}

func (r *readiness) checkIdentity() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.identity
}
