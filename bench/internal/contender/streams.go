package contender

import (
	"errors"
	"io"

	echov1 "github.com/packetrpc/packetrpc/bench/gen/echo/v1"
)

// What follows is the work of streams in the manner of gRPC, which connect-go,
// drpc and ttrpc share.

// sendAll sends what a DownloadRequest asks for.
func sendAll(request *echov1.DownloadRequest, send func(*echov1.DownloadResponse) error) error {
	data := make([]byte, request.GetSize())
	for range request.GetCount() {
		if err := send(&echov1.DownloadResponse{Data: data}); err != nil {
			return err
		}
	}
	return nil
}

// receiveAll receives to the end of a stream, and returns the number of messages.
func receiveAll[Message any](receive func() (*Message, error)) (int, error) {
	for count := 0; ; count++ {
		if _, err := receive(); errors.Is(err, io.EOF) {
			return count, nil
		} else if err != nil {
			return count, err
		}
	}
}

// answerAll answers each message before it takes the next.
func answerAll(receive func() (*echov1.PingPongRequest, error), send func(*echov1.PingPongResponse) error) error {
	for {
		request, err := receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := send(&echov1.PingPongResponse{Data: request.GetData()}); err != nil {
			return err
		}
	}
}

// uploadAll sends the data count times.
func uploadAll(data []byte, count int, send func(*echov1.UploadRequest) error) error {
	for range count {
		if err := send(&echov1.UploadRequest{Data: data}); err != nil {
			return err
		}
	}
	return nil
}

// pingPongAll sends the data count times, each time after the answer to the
// message before.
func pingPongAll(data []byte, count int, send func(*echov1.PingPongRequest) error, receive func() (*echov1.PingPongResponse, error)) error {
	for range count {
		if err := send(&echov1.PingPongRequest{Data: data}); err != nil {
			return err
		}
		if _, err := receive(); err != nil {
			return err
		}
	}
	return nil
}
