package failover

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eastway/eastway/failover/balance"
)

// capacities are metrics of service ports of which a capacity is known, as they are when they are collected:
//
//	eastway_failover_capacity{service,port,destination_cluster}        calls that this proxy may have in flight there
//	eastway_failover_in_flight{service,port,destination_cluster}       calls that it has
//	eastway_failover_spilled_total{service,port}           calls that went further away because what is nearer was full
type capacities struct {
	table                       *balance.Table
	capacity, inFlight, spilled *prometheus.Desc
}

// registerCapacities does nothing without a Registerer.
func registerCapacities(r prometheus.Registerer, t *balance.Table) error {
	if r == nil {
		return nil
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	if err := r.Register(&capacities{
		table: t,
		capacity: desc("eastway_failover_capacity",
			"Calls that this proxy may have in flight at a cluster's endpoints, where a capacity is declared.",
			"service", "port", "destination_cluster"),
		inFlight: desc("eastway_failover_in_flight",
			"Calls that this proxy has in flight at a cluster's endpoints, where a capacity is declared.", "service", "port", "destination_cluster"),
		spilled: desc("eastway_failover_spilled_total",
			"Calls that went further away because nearer endpoints had no room, where a capacity is declared.", "service", "port"),
	}); err != nil {
		return fmt.Errorf("failover: register metrics of capacity: %w", err)
	}
	return nil
}

// Describe implements prometheus.Collector.
func (c *capacities) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.capacity, c.inFlight, c.spilled} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *capacities) Collect(ch chan<- prometheus.Metric) {
	of, spilled := balance.Capacities(c.table)
	for i := range of {
		one := &of[i]
		labels := []string{one.Service.String(), strconv.Itoa(int(one.Port)), one.Cluster}
		ch <- prometheus.MustNewConstMetric(c.capacity, prometheus.GaugeValue, one.Room, labels...)
		ch <- prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, one.InFlight, labels...)
	}
	for k, n := range spilled {
		ch <- prometheus.MustNewConstMetric(c.spilled, prometheus.CounterValue, float64(n), k.Service.String(), strconv.Itoa(int(k.Port)))
	}
}
