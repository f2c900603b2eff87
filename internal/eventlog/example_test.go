package eventlog_test

import (
	"bytes"
	"fmt"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/eastway/eastway/internal/eventlog"
)

func Example() {
	var out bytes.Buffer
	log := eventlog.New(&out, zapcore.InfoLevel)
	for range 1000 {
		log.Warn("stranger refused", zap.String("issuer", strings.Repeat("x", 13<<10)))
	}
	fmt.Println(out.Len() < 200<<10)
	// Output:
	// true
}
