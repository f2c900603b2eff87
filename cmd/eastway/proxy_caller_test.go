package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// startApp is an application that answers each line with its own name and that line.
func startApp(t *testing.T, name, ip string) {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort(ip, servicePort))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { conn.Close() })
			wg.Go(func() {
				defer stop()
				defer conn.Close()
				lines := bufio.NewScanner(conn)
				for lines.Scan() {
					fmt.Fprintf(conn, "%s %s\n", name, lines.Text())
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
}

// caller is an application's connection to a service.
type caller struct {
	net.Conn
	lines *bufio.Reader
}

func dialService(t *testing.T, vip string) (*caller, error) {
	t.Helper()
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(vip, servicePort))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	return &caller{conn, bufio.NewReader(conn)}, conn.SetDeadline(time.Now().Add(patience))
}

// ask sends a line and returns the name of the application that answered.
func (c *caller) ask(line string) (string, error) {
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", err
	}
	answer, err := c.lines.ReadString('\n')
	if err != nil {
		return "", err
	}
	name, echo, _ := strings.Cut(strings.TrimSpace(answer), " ")
	if echo != line {
		return "", fmt.Errorf("answer %q to %q", answer, line)
	}
	return name, nil
}

// call opens a connection for one question and closes it.
func call(t *testing.T, vip string) (string, error) {
	t.Helper()
	c, err := dialService(t, vip)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.ask("hello")
}

func mustCall(t *testing.T, vip, want string) {
	t.Helper()
	if got, err := call(t, vip); err != nil || got != want {
		t.Fatalf("call to %s was answered by %q, %v, want %q", vip, got, err, want)
	}
}
