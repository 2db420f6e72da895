package tap

// SetQueueSize sets how many bytes of packets may wait to be decoded.
func (p *Proxy) SetQueueSize(size int) { p.queueSize = size }
