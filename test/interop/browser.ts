// A real Chromium without a window, driven by its own DevTools protocol, so that pages are looked at the way people do: light
// and dark, wide and narrow, by keyboard, without script. It ends with the test process.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { WebSocket } from 'ws';
import { eventually, Hopeless, Task } from './task.ts';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
const FLAGS = [
  '--headless',
  // As root, and in the namespaces of the tests, its own sandbox can't be set up; it opens no page but ours.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--remote-debugging-port=0',
];

const find = (): string | undefined =>
  NAMES.find((name) => {
    try {
      execFileSync(name, ['--version'], { stdio: 'pipe' });
      return true;
    } catch {
      return false;
    }
  });

/** For `describe`: the reason to skip, or `false`. CI never skips. */
export const withoutBrowser = (): string | false => {
  if (find() !== undefined) return false;
  if (process.env['CI']) throw new Error('Chromium is not installed; with CI set these tests are never skipped');
  return 'Chromium is not installed: the pages were not driven in a browser';
};

export interface Look {
  readonly width: number;
  readonly height: number;
  readonly scheme: 'light' | 'dark';
}

/** What assistive technology is told of an element. */
export interface Role {
  readonly role: string;
  readonly name: string;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

export class Browser {
  readonly #task: Task;
  readonly #folder: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (message: Message) => void>();
  #lastId = 0;
  #loads = 0;

  private constructor(task: Task, folder: string, socket: WebSocket) {
    this.#task = task;
    this.#folder = folder;
    this.#socket = socket;
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString('utf8')) as Message;
      if (message.id !== undefined) this.#waiting.get(message.id)?.(message);
      else if (message.method === 'Page.loadEventFired') this.#loads++;
    });
  }

  /** With one empty page. */
  static async start(logFile: string): Promise<Browser> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-browser-'));
    const command = [find() ?? 'chromium', ...FLAGS, `--user-data-dir=${folder}`, 'about:blank'];
    const task = new Task({ command, logFile, env: { HOME: folder } });
    const { value: url } = await eventually('Chromium listens', 30_000, async () => {
      if (task.hasEnded) throw new Hopeless(`Chromium ended:\n${task.log}`);
      const port = fs.readFileSync(path.join(folder, 'DevToolsActivePort'), 'utf8').split('\n')[0];
      const answer = await fetch(`http://127.0.0.1:${port}/json/list`);
      const targets = (await answer.json()) as { type: string; webSocketDebuggerUrl: string }[];
      return targets.find(({ type }) => type === 'page')?.webSocketDebuggerUrl;
    });
    const socket = new WebSocket(url, { perMessageDeflate: false });
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    const browser = new Browser(task, folder, socket);
    await browser.#call('Page.enable');
    await browser.#call('Accessibility.enable');
    return browser;
  }

  async #call(method: string, params: object = {}): Promise<Readonly<Record<string, unknown>>> {
    const id = ++this.#lastId;
    const answer = new Promise<Message>((resolve) => this.#waiting.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params }));
    const { result, error } = await answer;
    this.#waiting.delete(id);
    if (error) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  /** Waits until what `act` starts has loaded. */
  async #loading(act: () => Promise<unknown>): Promise<void> {
    const before = this.#loads;
    await act();
    await eventually('the page has loaded', 10_000, () => this.#loads > before);
  }

  async look({ width, height, scheme }: Look): Promise<void> {
    await this.#call('Emulation.setDeviceMetricsOverride', {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: width < 500,
    });
    const features = [{ name: 'prefers-color-scheme', value: scheme }];
    await this.#call('Emulation.setEmulatedMedia', { features });
  }

  async allowScript(allowed: boolean): Promise<void> {
    await this.#call('Emulation.setScriptExecutionDisabled', { value: !allowed });
  }

  async open(url: string): Promise<void> {
    await this.#loading(() => this.#call('Page.navigate', { url }));
  }

  /** The value of an expression in the page. Works where the page itself may run no script. */
  async read<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#call('Runtime.evaluate', { expression, returnByValue: true });
    if (exceptionDetails) throw new Error(`in the page: ${JSON.stringify(exceptionDetails)}`);
    return (result as { value: T }).value;
  }

  async text(): Promise<string> {
    return this.read('document.body.innerText');
  }

  async press(key: 'Tab' | 'Enter' | 'ArrowDown' | 'End'): Promise<void> {
    const codes = { Tab: 9, Enter: 13, ArrowDown: 40, End: 35 };
    const common = { key, code: key, windowsVirtualKeyCode: codes[key], ...(key === 'Enter' && { text: '\r' }) };
    await this.#call('Input.dispatchKeyEvent', { type: 'keyDown', ...common });
    await this.#call('Input.dispatchKeyEvent', { type: 'keyUp', ...common });
  }

  async submit(): Promise<void> {
    await this.#loading(() => this.press('Enter'));
  }

  async type(text: string): Promise<void> {
    await this.#call('Input.insertText', { text });
  }

  /** What has the focus, as a person is told. */
  async focused(): Promise<string> {
    return this.read(`(({ id, innerText, tagName }) => id || innerText || tagName)(document.activeElement)`);
  }

  /** Goes on by keyboard until this has the focus; gives what was passed on the way. */
  async tabTo(name: string): Promise<string[]> {
    const passed: string[] = [];
    for (let i = 0; i < 20; i++) {
      await this.press('Tab');
      const at = await this.focused();
      if (at === name) return passed;
      passed.push(at);
    }
    throw new Error(`«${name}» can't be reached by keyboard; there are ${passed.join(', ')}`);
  }

  async roles(): Promise<Role[]> {
    const { nodes } = await this.#call('Accessibility.getFullAXTree');
    type Node = { ignored: boolean; role?: { value: string }; name?: { value: string } };
    return (nodes as Node[])
      .filter(({ ignored }) => !ignored)
      .map(({ role, name }) => ({ role: role?.value ?? '', name: name?.value ?? '' }));
  }

  async picture(file: string): Promise<void> {
    const { data } = await this.#call('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, Buffer.from(data as string, 'base64'));
  }

  async stop(): Promise<void> {
    this.#socket.terminate();
    await this.#task.stop(2_000);
    fs.rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
