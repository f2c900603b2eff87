package autoscale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/eastway/eastway/e2e/apps/load"
)

// The loads, also the names of who makes them in each zone.
const (
	steady = "steady"
	burst  = "burst"
)

// loads of one zone.
func loads() map[string]load.Config {
	const url, streams = "http://mocka:8000/", "mocka:8001"
	return map[string]load.Config{
		steady: {
			Calls: []load.Calls{{URL: url, Rate: 10}},
			// Shorter than the time for which a proxy that leaves waits for them.
			Streams: []load.Streams{{Address: streams, Count: 5, Seconds: 8}},
		},
		burst: {Calls: []load.Calls{{URL: url, Rate: 120}}},
	}
}

// loader asks a pod that makes load, through the API server.
func (w *world) loader(verb, pod, path string) *rest.Request {
	return w.clients.CoreV1().RESTClient().Verb(verb).Namespace(namespace).Resource("pods").
		Name(fmt.Sprintf("%s:%d", pod, load.Port)).SubResource("proxy").Suffix(path)
}

// begin a load in all zones.
func (w *world) begin(ctx context.Context, name string) error {
	pods, err := w.pods(ctx, namespace, "app="+name)
	if err != nil {
		return err
	}
	for i := range pods {
		config := loads()[name]
		config.Name = name + "-" + pods[i].Labels["version"]
		body, err := json.Marshal(config)
		if err != nil {
			return err
		}
		if err := w.loader(http.MethodPost, pods[i].Name, "load").Body(body).Do(ctx).Error(); err != nil {
			return fmt.Errorf("begin the load of %s: %w", pods[i].Name, err)
		}
	}
	return nil
}

// end a load and return what became of each request.
func (w *world) end(ctx context.Context, name string) ([]load.Record, error) {
	pods, err := w.pods(ctx, namespace, "app="+name)
	if err != nil {
		return nil, err
	}
	records, errs := make([][]load.Record, len(pods)), make([]error, len(pods))
	var ending sync.WaitGroup
	for i := range pods {
		ending.Go(func() { records[i], errs[i] = w.endOne(ctx, pods[i].Name) })
	}
	ending.Wait()
	var all []load.Record
	for _, some := range records {
		all = append(all, some...)
	}
	return all, errors.Join(errs...)
}

func (w *world) endOne(ctx context.Context, pod string) (records []load.Record, err error) {
	if err := w.loader(http.MethodDelete, pod, "load").Do(ctx).Error(); err != nil {
		return nil, fmt.Errorf("end the load of %s: %w", pod, err)
	}
	answer, err := w.loader(http.MethodGet, pod, "records").Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the records of %s: %w", pod, err)
	}
	defer answer.Close()
	for lines := json.NewDecoder(answer); ; {
		var r load.Record
		if err := lines.Decode(&r); errors.Is(err, io.EOF) {
			return records, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the records of %s: %w", pod, err)
		}
		records = append(records, r)
	}
}

// judge the requests of a load that began in a time: there are enough, and none failed.
func (w *world) judge(what string, records []load.Record, from, to time.Time, atLeast int) {
	w.Helper()
	const shown = 10 // failures
	count, failed := map[string]int{}, 0
	var slowest time.Duration
	for i := range records {
		r := &records[i]
		if r.Start.Before(from) || r.Start.After(to) {
			continue
		}
		count[r.Kind]++
		if r.Kind == load.KindCall {
			slowest = max(slowest, r.End.Sub(r.Start))
		}
		if r.Error != "" {
			if failed++; failed <= shown {
				w.Errorf("%s: %s %s failed after %v at %s: %s", what, r.Kind, r.ID, r.End.Sub(r.Start), r.End.Format(time.StampMilli), r.Error)
			}
		}
	}
	fmt.Fprintf(progress(), "== %s: %d calls, %d streams, %d failed, slowest call %v\n",
		what, count[load.KindCall], count[load.KindStream], failed, slowest.Round(time.Millisecond))
	if failed > 0 || count[load.KindCall] < atLeast {
		w.Errorf("%s: %d requests failed; there were %d calls, at least %d are needed", what, failed, count[load.KindCall], atLeast)
	}
}
