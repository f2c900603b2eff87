package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// Daemons of the control machine.
const (
	etcd              = "etcd"
	apiServer         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
)

// frugal makes Go programs trade processor time for memory: half as much garbage
// as usual, since every cluster has its own of each.
const frugal = "GOGC=50"

const etcdURL = "http://127.0.0.1:2379"

// Times of Kubernetes itself, in the form of its flags.
const (
	// nodeGrace after which a node that is not heard from is NotReady: the default
	// of 50s would make every test of a lost node that much longer.
	nodeGrace = "20s"
	// leaseSeconds of a node's lease, which is renewed four times in this time.
	leaseSeconds = 16
)

// inEtc is where a machine sees a file of its etc folder.
func inEtc(name string) string { return filepath.Join(machine.Etc, name) }

// writeControlFiles makes the certificates and kubeconfigs of the control machine.
func (c *Cluster) writeControlFiles(ca *authority) error {
	etc := c.lab.etc(c.controlName())
	own, err := ca.pair()
	if err != nil {
		return err
	}
	if err := own.write(etc, "ca"); err != nil {
		return err
	}
	hosts := []string{
		"127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	for _, f := range c.families {
		hosts = append(hosts, c.address(f).String(), f.network().api.String())
	}
	for _, one := range []struct {
		name, user string
		groups     []string
		hosts      []string
	}{
		{"apiserver", apiServer, nil, hosts},
		{"kubelet-client", "kube-apiserver-kubelet-client", []string{"system:masters"}, nil},
		{"front-proxy", "front-proxy-client", nil, nil},
		{"service-accounts", "service-accounts", nil, nil},
	} {
		pair, err := ca.issue(one.user, one.groups, one.hosts...)
		if err != nil {
			return err
		}
		if err := pair.write(etc, one.name); err != nil {
			return err
		}
	}
	for _, name := range []string{controllerManager, scheduler} {
		user, err := c.access(ca, "system:"+name)
		if err != nil {
			return err
		}
		if err := writeKubeconfig(filepath.Join(etc, name+".kubeconfig"), user); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startControl(ctx context.Context) (err error) {
	if c.control, err = c.lab.startMachine(ctx, c.controlName(), c.lab.state.Kubernetes); err != nil {
		return err
	}
	return c.plugIn(c.control, "control", c.address)
}

// address of the API server.
func (c *Cluster) address(f family) netip.Addr { return c.lab.state.Plan.control(f, c.index) }

// startAPI starts etcd and the API server, and returns when it is ready.
func (c *Cluster) startAPI(ctx context.Context) error {
	if err := runAll(ctx, c.control, etcdDaemon(), c.apiDaemon()); err != nil {
		return err
	}
	return c.awaitAPI(ctx)
}

func (c *Cluster) awaitAPI(ctx context.Context) error {
	clients, err := c.Clients()
	if err != nil {
		return err
	}
	return wait{
		what:  "the API server of " + c.Name + " to be ready",
		limit: daemonTime,
		by:    []daemonRef{{c.control, etcd}, {c.control, apiServer}},
		done: func(ctx context.Context) error {
			return clients.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		},
	}.run(ctx)
}

func etcdDaemon() machine.Daemon {
	return machine.Daemon{Name: etcd, Args: []string{
		"etcd", "--data-dir=/var/lib/etcd", "--unsafe-no-fsync", // it need not outlive a power cut
		"--listen-client-urls=" + etcdURL, "--advertise-client-urls=" + etcdURL,
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=default=http://127.0.0.1:2380", "--log-level=warn",
	}}
}

func (c *Cluster) apiDaemon() machine.Daemon {
	return c.kubernetesDaemon(apiServer, []string{
		"--etcd-servers=" + etcdURL,
		"--advertise-address=" + c.address(c.families[0]).String(),
		"--bind-address=" + c.families[0].anywhere().Addr().String(),
		fmt.Sprintf("--secure-port=%d", apiPort),
		"--service-cluster-ip-range=" + each(c.families, func(f family) netip.Prefix { return f.network().services }),
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--client-ca-file=" + inEtc("ca.crt"),
		"--tls-cert-file=" + inEtc("apiserver.crt"),
		"--tls-private-key-file=" + inEtc("apiserver.key"),
		"--kubelet-certificate-authority=" + inEtc("ca.crt"),
		"--kubelet-client-certificate=" + inEtc("kubelet-client.crt"),
		"--kubelet-client-key=" + inEtc("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + inEtc("service-accounts.crt"),
		"--service-account-signing-key-file=" + inEtc("service-accounts.key"),
		// For API servers and webhooks in pods: this machine has routes to pods,
		// but no kube-proxy.
		"--enable-aggregator-routing=true",
		"--requestheader-client-ca-file=" + inEtc("ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + inEtc("front-proxy.crt"),
		"--proxy-client-key-file=" + inEtc("front-proxy.key"),
	})
}

// kubernetesDaemon is a part of the control plane, of the version that it is to show.
func (c *Cluster) kubernetesDaemon(name string, args []string) machine.Daemon {
	if v := c.lab.state.Config.EmulatedVersion; v != "" {
		args = append(args, "--emulated-version="+v)
	}
	return machine.Daemon{Name: name, Env: []string{frugal}, Args: append([]string{name}, args...)}
}

// startControllers starts what needs the API server.
func (c *Cluster) startControllers(ctx context.Context) error {
	return runAll(ctx, c.control, c.controllersDaemon(), c.clientDaemon(scheduler))
}

func (c *Cluster) controllersDaemon() machine.Daemon {
	return c.clientDaemon(controllerManager,
		"--use-service-account-credentials=true",
		"--root-ca-file="+inEtc("ca.crt"),
		"--service-account-private-key-file="+inEtc("service-accounts.key"),
		"--cluster-signing-cert-file="+inEtc("ca.crt"),
		"--cluster-signing-key-file="+inEtc("ca.key"),
		"--node-monitor-grace-period="+nodeGrace,
	)
}

// clientDaemon is one that needs the API server.
func (c *Cluster) clientDaemon(name string, args ...string) machine.Daemon {
	return c.kubernetesDaemon(name, append([]string{
		"--kubeconfig=" + inEtc(name+".kubeconfig"), "--leader-elect=false", "--bind-address=127.0.0.1",
	}, args...))
}

// StopAPIServer kills the API server (SIGKILL) and returns when it is gone; etcd goes on. The controller manager ends with it, as it does
// elsewhere when it cannot renew its lease: one that went on would take nodes for lost when the API server is back, since it has not heard
// from them.
func (c *Cluster) StopAPIServer(ctx context.Context) error {
	if err := c.ours("stop its API server"); err != nil {
		return err
	}
	return errors.Join(killDaemon(ctx, c.control, apiServer), killDaemon(ctx, c.control, controllerManager))
}

// StartAPIServer starts both again and returns when the API server is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.ours("start its API server"); err != nil {
		return err
	}
	if err := c.control.Run(ctx, c.apiDaemon()); err != nil {
		return err
	}
	if err := c.awaitAPI(ctx); err != nil {
		return err
	}
	return c.control.Run(ctx, c.controllersDaemon())
}

// killDaemon returns when the daemon has ended.
func killDaemon(ctx context.Context, m *machine.Machine, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stopTime, fmt.Errorf("not within %v", stopTime))
	defer cancel()
	if err := m.Signal(ctx, name, unix.SIGKILL); err != nil {
		return err
	}
	_, err := m.Wait(ctx, name)
	return err
}
