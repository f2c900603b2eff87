package server

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/pace"
	"github.com/eastway/eastway/internal/source"
)

// serveTCP serves connections until the listener is closed, and returns when all of them have ended.
func (s *Server) serveTCP(ctx context.Context) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		c, err := s.tcp.AcceptTCP()
		if err != nil {
			if end, err := ends(ctx, err); end {
				return err
			}
			s.log.Warn("a TCP connection could not be accepted", zap.Error(err))
			pace.Sleep(ctx, acceptPause)
			continue
		}
		client := source.Of(c.RemoteAddr())
		if victim, lost := s.conns.add(client, net.Conn(c)); lost {
			_ = victim.Close()
			s.metrics.closed.Inc()
			s.note(tooManyConns, client.Addr())
		}
		serving.Go(func() {
			end := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer end()
			defer s.conns.remove(client, net.Conn(c))
			defer c.Close()
			s.serveConn(c)
		})
	}
}

// serveConn answers the queries of a connection in their order until the client closes it, is idle, or sends what is no query.
func (s *Server) serveConn(c net.Conn) {
	from, _ := c.RemoteAddr().(*net.TCPAddr)
	buf := make([]byte, querySize)
	for {
		if c.SetReadDeadline(time.Now().Add(idleTime)) != nil {
			return
		}
		query, err := readMessage(c, buf)
		if err != nil {
			return
		}
		response, rcode := s.answerTCP(query, from.AddrPort().Addr())
		if response == nil {
			return
		}
		s.metrics.responses.WithLabelValues("tcp", dns.RcodeToString[rcode]).Inc()
		if c.SetWriteDeadline(time.Now().Add(idleTime)) != nil {
			return
		}
		if _, err := c.Write(response); err != nil {
			return
		}
	}
}

// answerTCP is a response with its length before it; nil: there is none.
func (s *Server) answerTCP(query []byte, client netip.Addr) (framed []byte, rcode int) {
	response, rcode := s.cfg.Handler.Answer(query, client, false)
	if response == nil {
		return nil, 0
	}
	framed = binary.BigEndian.AppendUint16(make([]byte, 0, len(response)+2), uint16(len(response)))
	return append(framed, response...), rcode
}

var errTooLong = errors.New("the query is too long")

// readMessage reads a message that follows its length.
func readMessage(r io.Reader, buf []byte) ([]byte, error) {
	if _, err := io.ReadFull(r, buf[:2]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(buf))
	if n > len(buf) {
		return nil, errTooLong
	}
	_, err := io.ReadFull(r, buf[:n])
	return buf[:n], err
}
