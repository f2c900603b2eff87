package httpserve

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

const (
	// maxScrapes that run at the same time; enough for a second scraper and an operator.
	maxScrapes = 4
	// scrapeTimeout is Prometheus' default scrape_timeout.
	scrapeTimeout = 10 * time.Second
)

// Metrics answers scrapers. Metrics that cannot be gathered are logged and omitted.
func Metrics(g prometheus.Gatherer, log *zap.Logger) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{
		ErrorLog:            zap.NewStdLog(log),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
		EnableOpenMetrics:   true,
	})
}
