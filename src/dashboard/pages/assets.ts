import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import copyScript from 'island:copy'
import trendScript from 'island:trend'
import style from '../assets/page.css'
import type { Assets } from './layout.tsx'

/** One file that pages load. */
export interface Asset {
  readonly type: string
  readonly text: string
}

/** The files by address, and the addresses by what they are. An address changes with its content. */
export function buildAssets(): {
  readonly files: ReadonlyMap<string, Asset>
  readonly assets: Assets
} {
  const files = new Map<string, Asset>()
  const add = (ending: string, type: string, text: string) => {
    const path = `/assets/${bytesToHex(sha256(utf8ToBytes(text))).slice(0, 16)}.${ending}`
    files.set(path, { type: `${type}; charset=utf-8`, text })
    return path
  }
  const assets = {
    style: add('css', 'text/css', style),
    trend: add('js', 'text/javascript', trendScript),
    copy: add('js', 'text/javascript', copyScript),
  }
  return { files, assets }
}
