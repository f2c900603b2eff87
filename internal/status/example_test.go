package status_test

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/eastway/eastway/internal/status"
)

// What `eastway endpoints SERVICE -o json` prints of a peer that is out of rotation.
func ExampleEndpoint() {
	endpoint := status.Endpoint{
		Address: "west", Cluster: "west", Port: 80, Region: "eu-west", Level: 3,
		Status: status.Healthy, OutlierCheck: status.CheckFailed, EjectedFor: 30 * time.Second, EjectionKind: "peer",
		RTT: 20 * time.Millisecond,
	}
	text, err := json.MarshalIndent(endpoint, "", "  ")
	fmt.Println(string(text), err)
	// Output:
	// {
	//   "address": "west",
	//   "cluster": "west",
	//   "port": 80,
	//   "region": "eu-west",
	//   "level": 3,
	//   "status": "HEALTHY",
	//   "outlierCheck": "FAILED",
	//   "ejectedForNanos": 30000000000,
	//   "ejectionKind": "peer",
	//   "active": 0,
	//   "rttNanos": 20000000
	// } <nil>
}

// What `eastway status -o json` prints of a peer with one link.
func ExamplePeer() {
	peer := status.Peer{Peer: "west", State: status.Connected, Links: []status.Link{{
		Replica: "proxy-0", Version: "v0.1.0", State: status.Connected, Dialed: true, Control: "quic",
		RTT: 20 * time.Millisecond, Age: time.Minute, Heard: 40 * time.Millisecond,
		Lanes: []status.Lane{{
			Name: "tcp-0", Transport: "tcp", Role: status.RoleLane, Local: "192.0.2.1:40000", Remote: "198.51.100.7:15443",
			CongestionControl: "bbr", TLS: "TLS 1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768", Streams: 3, Sent: 400, Lost: 1,
		}},
	}}}
	text, err := json.MarshalIndent(peer, "", "  ")
	fmt.Println(string(text), err)
	// Output:
	// {
	//   "peer": "west",
	//   "state": "connected",
	//   "links": [
	//     {
	//       "replica": "proxy-0",
	//       "version": "v0.1.0",
	//       "state": "connected",
	//       "dialed": true,
	//       "control": "quic",
	//       "rttNanos": 20000000,
	//       "ageNanos": 60000000000,
	//       "heardNanos": 40000000,
	//       "lanes": [
	//         {
	//           "name": "tcp-0",
	//           "transport": "tcp",
	//           "role": "lane",
	//           "local": "192.0.2.1:40000",
	//           "remote": "198.51.100.7:15443",
	//           "congestionControl": "bbr",
	//           "tls": "TLS 1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768",
	//           "rttNanos": 0,
	//           "ageNanos": 0,
	//           "streams": 3,
	//           "sent": 400,
	//           "lost": 1
	//         }
	//       ]
	//     }
	//   ]
	// } <nil>
}
