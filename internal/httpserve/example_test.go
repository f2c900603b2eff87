package httpserve_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/httpserve"
)

// A server for Prometheus.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	registry := prometheus.NewRegistry()
	up := prometheus.NewGauge(prometheus.GaugeOpts{Name: "up", Help: "1 while the process serves."})
	up.Set(1)
	if err := registry.Register(up); err != nil {
		fmt.Println(err)
		return
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(httpserve.ListenError("127.0.0.1:0", err)) // with what to do about it
		return
	}
	server, err := httpserve.New(l, httpserve.Metrics(registry, zap.NewNop()), zap.NewNop(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	fmt.Println(get(ctx, "http://"+server.Addr().String()))
	cancel()
	fmt.Println(<-ended)
	// Output:
	// # HELP up 1 while the process serves.
	// # TYPE up gauge
	// up 1
	//  <nil>
	// <nil>
}

func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}
