module tools

go 1.26.8

require (
	github.com/golang/protobuf v1.5.4 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20251213004720-97cd9d5aeac2 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
	istio.io/api v1.32.0 // indirect
)
