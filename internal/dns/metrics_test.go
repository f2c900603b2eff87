package dns

import (
	"regexp"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

func nopLog() *zap.Logger { return zap.NewNop() }

// described keeps the help of what is registered: vectors without a series do not show otherwise.
type described struct {
	*prometheus.Registry

	mu   sync.Mutex
	help map[string]string
}

var descFields = regexp.MustCompile(`^Desc\{fqName: "(.*?)", help: "(.*?)", `)

func (r *described) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	for desc := range descs {
		if m := descFields.FindStringSubmatch(desc.String()); m != nil {
			if r.help == nil {
				r.help = make(map[string]string)
			}
			r.help[m[1]] = m[2]
		}
	}
	return r.Registry.Register(c)
}

func (r *described) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}
