// Package mcs keeps the objects of the Multi-Cluster Services API (KEP-1645)
// and the derived Services behind them as the exports of all clusters demand:
// conditions of ServiceExports, ServiceImports, their EndpointSlices, and
// Services in the installation's namespace that lead to the proxies.
//
// Everything is derived from the API server and the catalog, one service at a
// time. Two things cannot be derived and are remembered by the
// objects themselves: the ports that derived Services have on the proxies, and
// what a peer exported that has not connected since this process started.
package mcs
