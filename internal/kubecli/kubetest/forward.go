package kubetest

import (
	"io"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	protocol "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// portforward speaks SPDY, inside a WebSocket if the request is a GET.
func (s *Server) portforward(w http.ResponseWriter, req *http.Request, pod string) {
	f := &forwarding{server: s, pod: pod, errors: map[string]httpstream.Stream{}, replied: map[string]<-chan struct{}{}}
	upgrade := f.upgradeSPDY
	if req.Method == http.MethodGet {
		upgrade = f.upgradeWebSocket
	}
	if streams := upgrade(w, req); streams != nil {
		<-streams.CloseChan()
		f.done.Wait()
	}
}

func (f *forwarding) upgradeSPDY(w http.ResponseWriter, req *http.Request) httpstream.Connection {
	if _, err := httpstream.Handshake(req, w, []string{protocol.PortForwardV1Name}); err != nil {
		return nil
	}
	return spdy.NewResponseUpgrader().UpgradeResponse(w, req, f.stream)
}

func (f *forwarding) upgradeWebSocket(w http.ResponseWriter, req *http.Request) httpstream.Connection {
	if f.server.OnlySPDY {
		w.WriteHeader(http.StatusBadRequest)
		return nil
	}
	up := websocket.Upgrader{Subprotocols: []string{protocol.WebsocketsSPDYTunnelingPortForwardV1}}
	conn, err := up.Upgrade(w, req, nil)
	if err != nil {
		return nil
	}
	streams, err := spdy.NewServerConnection(portforward.NewTunnelingConnection("test", conn), f.stream)
	if err != nil {
		return nil
	}
	return streams
}

// forwarding is one connection of a client, with any number of forwarded ones.
type forwarding struct {
	server *Server
	pod    string
	mu     sync.Mutex
	errors map[string]httpstream.Stream
	// replied is closed once the client has the reply for the error stream.
	replied map[string]<-chan struct{}
	done    sync.WaitGroup
}

func (f *forwarding) stream(stream httpstream.Stream, replied <-chan struct{}) error {
	id := stream.Headers().Get(corev1.PortForwardRequestIDHeader)
	f.mu.Lock()
	defer f.mu.Unlock()
	if stream.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
		f.errors[id] = stream
		f.replied[id] = replied
		return nil
	}
	reason, before := f.errors[id], f.replied[id]
	f.done.Go(func() {
		<-before // a stream that ends before it was replied to never ends for spdystream
		<-replied
		f.carry(stream, reason, stream.Headers().Get(corev1.PortHeader))
	})
	return nil
}

func (f *forwarding) carry(data, reason httpstream.Stream, port string) {
	defer data.Close()
	defer reason.Close()
	conn, err := f.server.dial(f.pod, port)
	if err != nil {
		_, _ = io.WriteString(reason, err.Error())
		_ = data.Reset() // what was sent meanwhile is not read
		return
	}
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(conn, data)
		_ = conn.Close()
	})
	_, _ = io.Copy(data, conn)
	_ = data.Reset()
	up.Wait()
}
