package httpserve

import (
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

const (
	// maxScrapes is how many times metrics are gathered at the same time: once for each form. More are under way only where one
	// hangs beyond scrapeTimeout.
	maxScrapes = 4
	// scrapeTimeout is Prometheus' default scrape_timeout.
	scrapeTimeout = 10 * time.Second
)

// Metrics answers scrapers with all metrics, as text or OpenMetrics. Those that cannot be gathered are logged and omitted.
func Metrics(g prometheus.Gatherer, log *zap.Logger) http.Handler {
	return newScrapes(promhttp.HandlerFor(g, promhttp.HandlerOpts{
		ErrorLog:            zap.NewStdLog(log),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
		EnableOpenMetrics:   true,
	}))
}

// evictedMetric is the one that reg has already, or a new one.
func evictedMetric(reg prometheus.Registerer) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "eastway_http_evicted_connections_total",
		Help: "Connections to admin and health listeners that were closed to admit others, because the listener was full.",
	})
	if reg == nil {
		return c
	}
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](reg.Register(c)); ok {
		if counter, ok := there.ExistingCollector.(prometheus.Counter); ok {
			return counter
		}
	}
	return c
}
