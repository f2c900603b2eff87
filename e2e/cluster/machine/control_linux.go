package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Run starts a daemon. It goes on until it ends by itself, is signaled, or the machine ends.
func (m *Machine) Run(ctx context.Context, d Daemon) error {
	_, err := m.ask(ctx, Request{Op: OpStart, Daemon: d})
	return err
}

// Signal a daemon. For one that has ended already it does nothing.
func (m *Machine) Signal(ctx context.Context, daemon string, signal unix.Signal) error {
	_, err := m.ask(ctx, Request{Op: OpSignal, Daemon: Daemon{Name: daemon}, Signal: int(signal)})
	return err
}

// Wait returns how a daemon ended, when it has.
func (m *Machine) Wait(ctx context.Context, daemon string) (ended string, err error) {
	response, err := m.ask(ctx, Request{Op: OpWait, Daemon: Daemon{Name: daemon}})
	if err != nil {
		return "", err
	}
	if len(response.Daemons) != 1 {
		return "", fmt.Errorf("machine: %s answered for %d daemons, not one", m.Name(), len(response.Daemons))
	}
	return response.Daemons[0].Ended, nil
}

// Daemons that were started, by name, whether they run or not.
func (m *Machine) Daemons(ctx context.Context) ([]Status, error) {
	response, err := m.ask(ctx, Request{Op: OpList})
	return response.Daemons, err
}

// Log is the path of what a daemon printed.
func (m *Machine) Log(daemon string) string {
	return filepath.Join(m.dir, LogFolder, daemon+".log")
}

// ask the first process and return its answer, or the error that it is.
func (m *Machine) ask(ctx context.Context, request Request) (response Response, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(m.dir, ControlSocket))
	if err != nil {
		return response, fmt.Errorf("machine: reach %s (does it run?): %w", m.Name(), err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return response, fmt.Errorf("machine: ask %s to %s: %w", m.Name(), request.Op, err)
	}
	if err := json.NewDecoder(conn).Decode(&response); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return response, fmt.Errorf("machine: ask %s to %s %s: %w", m.Name(), request.Op, request.Daemon.Name, err)
	}
	if response.Error != "" {
		return response, fmt.Errorf("machine: %s could not %s %s: %w", m.Name(), request.Op, request.Daemon.Name, errors.New(response.Error))
	}
	return response, nil
}
