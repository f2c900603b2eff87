package admin

import (
	"context"
	"fmt"
	"net"

	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/httpserve"
)

// Listen binds the address, so that a busy port is known before anything else
// starts. The server's Run serves and closes it.
func Listen(ctx context.Context, cfg Config) (*httpserve.Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = zap.NewNop()
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.address())
	if err != nil {
		return nil, fmt.Errorf("admin: %w", httpserve.ListenError(cfg.address(), err))
	}
	s, err := httpserve.New(l, newHandler(cfg, log), log, cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	return s, nil
}
