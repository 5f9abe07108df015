#!/usr/bin/env python3
"""mobilenet_like.py OUT.qir: a net of MobileNetV2 shapes with 3.5 million random weights, to measure proof and checker:
/usr/bin/time -v qverify overflow OUT.qir [--tight]"""
import random
import sys

random.seed(1)
out=sys.argv[1]
tensors=[];nodes=[]
def T(dims,type='i8'):
    i=len(tensors); tensors.append((type,dims)); return i
def affine(x,h,w,ic,oc,k,s,groups,layer):
    oh,ow=(h+s-1)//s,(w+s-1)//s
    pad=max((oh-1)*s+k-h,0)//2
    y=T([1,oh,ow,oc],'i32')
    K=k*k*(ic//groups)
    wr='\n'.join(' '.join(str(random.randint(-127,127)) for _ in range(K)) for _ in range(oc))
    nodes.append((f'affine op "CONV" layer {layer} in 1 {x} out {y}',f'window n 1 ih {h} iw {w} ic {ic} oh {oh} ow {ow} oc {oc} kh {k} kw {k} sh {s} sw {s} dh 1 dw 1 pt {pad} pl {pad} groups {groups}\nacc wrap bits 32 order any bias last form corrected\nx_zp -5\nw_zp 1 0\nb '+' '.join(str(random.randint(-3000,3000)) for _ in range(oc))+'\nw\n'+wr))
    z=T([1,oh,ow,oc])
    sh=-int(6+ (K.bit_length())/2)
    nodes.append((f'step op "CONV" layer {layer} in 1 {y} out {z}',f'step in_zp 0 lshift 0 out_zp -5 lo -128 hi 127 inner 1\nidx none\npar {oc}\n'+'\n'.join(f'RQ_D {random.randint(2**30,2**31-1)} {sh}' for _ in range(oc))))
    return z,oh,ow
x=T([1,224,224,3]); first=x
h=w=224;c=3;layer=0
x,h,w=affine(x,h,w,3,32,3,2,1,0);c=32;layer=1
cfg=[(1,16,1,1),(6,24,2,2),(6,32,3,2),(6,64,4,2),(6,96,3,1),(6,160,3,2),(6,320,1,1)]
for t,oc,n,s in cfg:
    for i in range(n):
        st=s if i==0 else 1
        inp,ih,iw,icc=x,h,w,c
        e=c*t
        if t>1: x,h,w=affine(x,h,w,c,e,1,1,1,layer);layer+=1
        x,h,w=affine(x,h,w,e,e,3,st,e,layer);layer+=1
        x,h,w=affine(x,h,w,e,oc,1,1,1,layer);layer+=1
        c=oc
        if st==1 and icc==oc:
            y=T([1,h,w,c],'i32')
            nodes.append((f'sum op "ADD" layer {layer} in 2 {inp} {x} out {y}','acc wrap bits 32 order kernel bias last form corrected\nterms\n5 -5\n7 -5'))
            z=T([1,h,w,c]); nodes.append((f'step op "ADD" layer {layer} in 1 {y} out {z}','step in_zp 0 lshift 0 out_zp -5 lo -128 hi 127 inner 1\nidx none\npar 1\nRQ_D 1431655765 -3'))
            x=z;layer+=1
x,h,w=affine(x,h,w,c,1280,1,1,1,layer);c=1280;layer+=1
# average pool by affine depthwise 7x7
y=T([1,1,1,c],'i32');nodes.append((f'affine op "AVERAGE_POOL_2D" layer {layer} in 1 {x} out {y}',f'window n 1 ih {h} iw {w} ic {c} oh 1 ow 1 oc {c} kh {h} kw {w} sh 1 sw 1 dh 1 dw 1 pt 0 pl 0 groups {c}\nacc wrap bits 32 order any bias last form corrected\nx_zp 0\nw_zp 1 0\nb '+' '.join(['0']*c)+'\nw\n'+'\n'.join([' '.join(['1']*(h*w))]*c)))
z=T([1,1,1,c]);nodes.append((f'step op "AVERAGE_POOL_2D" layer {layer} in 1 {y} out {z}',f'step in_zp 0 lshift 0 out_zp 0 lo -128 hi 127 inner 1\nidx none\npar 1\nRQ_DIV {h*w}'))
x,h,w=affine(z,1,1,c,1000,1,1,1,layer+1)
with open(out,'w') as f:
    f.write('qir 1\nsource ""\nsha256 ""\nprofile ""\nformat "synthetic"\nnotes 0\n')
    f.write(f'tensors {len(tensors)}\n')
    for i,(t,d) in enumerate(tensors): f.write(f'tensor {i} name "t{i}" type {t} dims {len(d)} {" ".join(map(str,d))} scale none const no\n')
    f.write(f'inputs 1\ninput 0 tensor 0 lo -128 hi 127 end int name "x"\nnodes {len(nodes)}\n')
    for i,(a,b) in enumerate(nodes): f.write(f'node {i} {a}\n{b}\n')
    f.write(f'outputs 1\noutput 0 tensor {x} end int name "y" tail none\nend\n')
