package health

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// grpcPath is the method of gRPC's health checking protocol (grpc/grpc, doc/health-checking.md). Its messages have one field each: the
// request a string service = 1, the answer an enum status = 1.
const grpcPath = "/grpc.health.v1.Health/Check"

// The values of that status.
const (
	grpcUnknown = iota
	grpcServing
	grpcNotServing
	grpcServiceUnknown
)

// checkGRPC asks whether a service, or the server as a whole, serves.
func (c *client) checkGRPC(ctx context.Context, p *plan, endpoint netip.AddrPort, conn net.Conn) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+endpoint.String()+grpcPath, bytes.NewReader(grpcRequest(p.service)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	var status int
	var code string
	var body []byte
	err = c.call(c.http2, conn, p, req, func(resp *http.Response) (err error) {
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxBodyBytes))
		// In the header, of an answer without a message.
		status, code = resp.StatusCode, cmp.Or(resp.Trailer.Get("Grpc-Status"), resp.Header.Get("Grpc-Status"))
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("gRPC health: %w", p.cause(err))
	case status != http.StatusOK:
		return fmt.Errorf("gRPC health: HTTP status %d", status)
	}
	if n, err := strconv.ParseUint(code, 10, 8); err != nil {
		return errors.New("gRPC health: the answer is not gRPC")
	} else if n != 0 {
		return fmt.Errorf("gRPC health: status %d%s", n, grpcName(n))
	}
	serving, err := grpcAnswer(body)
	switch {
	case err != nil:
		return fmt.Errorf("gRPC health: %w", err)
	case serving == grpcServing:
		return nil
	case serving == grpcNotServing:
		return errors.New("gRPC health: NOT_SERVING")
	case serving == grpcServiceUnknown:
		return errors.New("gRPC health: SERVICE_UNKNOWN")
	default:
		return errors.New("gRPC health: UNKNOWN")
	}
}

// grpcName names the statuses that servers without that health service, or without that service, have.
func grpcName(code uint64) string {
	switch code {
	case 5:
		return " (NOT_FOUND)"
	case 12:
		return " (UNIMPLEMENTED)"
	case 14:
		return " (UNAVAILABLE)"
	default:
		return ""
	}
}

// grpcRequest is the message with its prefix: not compressed, and its length.
func grpcRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), service)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// grpcAnswer is the status in an answer's only message.
func grpcAnswer(body []byte) (uint64, error) {
	const prefix = 5
	if len(body) < prefix || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-prefix) {
		return 0, errors.New("the answer is not one plain message")
	}
	serving := uint64(grpcUnknown)
	for body = body[prefix:]; len(body) > 0; {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return 0, fmt.Errorf("the answer is no HealthCheckResponse: %w", protowire.ParseError(n))
		}
		body = body[n:]
		if number == 1 && kind == protowire.VarintType {
			serving, n = protowire.ConsumeVarint(body)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, body)
		}
		if n < 0 {
			return 0, fmt.Errorf("the answer is no HealthCheckResponse: %w", protowire.ParseError(n))
		}
		body = body[n:]
	}
	return serving, nil
}
