package build

import (
	"net"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/util/grpcerrors"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
)

// maxMessage bounds one message of a client, in bytes; BuildKit's own limit.
const maxMessage = 16 << 20

// grpcServer serves BuildKit's control protocol on connections that were HTTP/1.
type grpcServer struct {
	rpc *grpc.Server
	h2  *http2.Server
}

func newServer(c *control.Controller) *grpcServer {
	s := grpc.NewServer(
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
	)
	c.Register(s)
	return &grpcServer{s, &http2.Server{}}
}

func (s *grpcServer) stop() { s.rpc.Stop() }

func (s *grpcServer) serve(conn net.Conn) {
	s.h2.ServeConn(conn, &http2.ServeConnOpts{Handler: s.rpc})
}

// GRPC serves POST /grpc: the connection becomes one of HTTP/2 with BuildKit's control protocol.
func (b *Builder) GRPC(w http.ResponseWriter, r *http.Request) error {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "h2c") {
		return errdefs.ErrInvalidArgument.WithMessage("no upgrade proto in request")
	}
	o, err := b.get()
	if err != nil {
		return err
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")); err != nil {
		return nil // the client is gone
	}
	o.server.serve(conn)
	return nil
}
