package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

const (
	// callTime for one call with its answer.
	callTime = 3 * time.Second
	// holdTime is how long a connection is held at most.
	holdTime = time.Minute
	// maxAnswer in bytes.
	maxAnswer = 4 << 10
)

// call sends a line and returns the answer.
func call(ctx context.Context, network, address string) string {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	answer, err := exchange(ctx, network, address)
	if err == nil && answer == "" {
		err = errors.New("an empty answer")
	}
	if err != nil {
		return failure(err)
	}
	return answer
}

func exchange(ctx context.Context, network, address string) (string, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if _, err := io.WriteString(conn, "hi\n"); err != nil {
		return "", err
	}
	var answer []byte
	if stream, ok := conn.(*net.TCPConn); ok {
		if err := stream.CloseWrite(); err != nil {
			return "", err
		}
		answer, err = io.ReadAll(io.LimitReader(conn, maxAnswer))
	} else {
		answer = make([]byte, maxAnswer)
		var n int
		n, err = conn.Read(answer)
		answer = answer[:n]
	}
	return strings.TrimSpace(string(answer)), err
}

// hold keeps a connection on which nothing is sent after the first line, until the other side ends it.
func hold(ctx context.Context, out io.Writer, address string) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		fmt.Fprintln(out, failure(err))
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(holdTime))
	_, err = io.WriteString(conn, "hi\n")
	for lines := bufio.NewReaderSize(conn, maxAnswer); err == nil; {
		var line []byte
		if line, err = lines.ReadSlice('\n'); err == nil {
			fmt.Fprint(out, string(line))
		}
	}
	fmt.Fprintln(out, time.Now().Format(time.RFC3339Nano), failure(err))
}

// lookup asks the DNS server in the order of resolv.conf, for the very name.
func lookup(ctx context.Context, kind, name string) []string {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	resolver := net.Resolver{PreferGo: true}
	name = strings.TrimSuffix(name, ".") + "."
	var records []string
	var err error
	switch kind {
	case "A", "AAAA":
		var found []netip.Addr
		found, err = resolver.LookupNetIP(ctx, map[string]string{"A": "ip4", "AAAA": "ip6"}[kind], name)
		for _, a := range found {
			records = append(records, a.Unmap().String())
		}
	case "SRV":
		var answers []*net.SRV
		_, answers, err = resolver.LookupSRV(ctx, "", "", name)
		for _, a := range answers {
			records = append(records, fmt.Sprintf("%d %s", a.Port, strings.TrimSuffix(a.Target, ".")))
		}
	default:
		err = fmt.Errorf("no such kind of record: %q", kind)
	}
	if err != nil {
		return []string{failure(err)}
	}
	return records
}

func failure(err error) string { return "error: " + strings.ReplaceAll(err.Error(), "\n", " ") }
