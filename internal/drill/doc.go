// Package drill is `eastway drill`: it has proxies fail a part of the real calls (failover/drill), keeps that going while the operator is
// there and the error budget lasts, and reports.
package drill
